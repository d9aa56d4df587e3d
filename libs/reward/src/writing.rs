//! Answers and whole completions as a perfect policy would write them, in the declared form.

use crate::answers::{Draft, Sketch, items};
use crate::config::{AnswerConfig, FormatConfig};
use crate::geometry::Geometry;
use crate::text::extract::{Solution, TAGS, answer_text};
use crate::{Attempt, BBox, Reward, Truth, read_strictly};

/// The text of an answer.
pub(crate) fn write(draft: &Draft, answer: &AnswerConfig) -> String {
    match draft {
        Draft::Items { items, .. } if items.is_empty() => answer.nothing.clone(),
        draft => answer.kind.kind().write(draft, answer.reader),
    }
}

/// A whole completion with this answer.
pub(crate) fn complete(thinking: &str, answer: &str, format: &FormatConfig) -> String {
    let think = if format.think { format!("<think>{thinking}</think>") } else { String::new() };
    if format.tags {
        format!("{think}<answer>{answer}</answer>")
    } else {
        format!("{think}{answer}")
    }
}

impl Reward {
    /// A whole completion that gives this answer after this thought.
    pub fn complete(&self, thinking: &str, answer: &str) -> String {
        complete(thinking, answer, &self.config().format)
    }

    /// The text of an answer that is one box, given without a doubt; `None` where [`Reward::write_boxes`] has none.
    pub fn write_box(&self, bbox: &BBox) -> Option<String> {
        self.write_boxes(&[(*bbox, "")])
    }

    /// The text of an answer that is these boxes with their labels, each given without a doubt; what the task says for
    /// "nothing" if there are none. Labels are left out where the items of the task have none. Points are the middles of
    /// the boxes, regions their outlines. `None` for answers that are no places in an image.
    ///
    /// This is how a data set of boxes states its truth in the form that a task declares. Numbers are rounded as a
    /// policy would write them.
    ///
    /// ```
    /// use vrft_reward::{BBox, Reward, config::RewardConfig};
    /// let reward = Reward::new(&RewardConfig::default());
    /// let bbox = BBox::try_new([10.0, 20.0, 110.0, 120.0])?;
    /// let text = reward.write_boxes(&[(bbox, "cat")]);
    /// assert_eq!(text.as_deref(), Some("[{\"Position\": [10, 20, 110, 120], \"Confidence\": 1}]"));
    /// assert_eq!(reward.write_boxes(&[]).as_deref(), Some("No Objects"));
    /// # Ok::<(), vrft_reward::Flaw>(())
    /// ```
    pub fn write_boxes(&self, boxes: &[(BBox, &str)]) -> Option<String> {
        let answer = &self.config().answer;
        let kind = answer.kind.kind().as_items()?;
        let numbers = |b: &BBox| match kind.geometry() {
            Geometry::Box => Some(b.corners().to_vec()),
            Geometry::Point => Some(vec![(b.x1 + b.x2) / 2.0, (b.y1 + b.y2) / 2.0]),
            Geometry::Region => Some(vec![b.x1, b.y1, b.x2, b.y1, b.x2, b.y2, b.x1, b.y2]),
            Geometry::Span | Geometry::Solid | Geometry::Point3d => None,
        };
        let item = |(bbox, label): &(BBox, &str)| {
            let numbers = numbers(bbox)?.into_iter().map(|number| kind.tidy(number)).collect();
            Some(Sketch { label: (*label).to_owned(), ..Sketch::at(numbers) })
        };
        let items = boxes.iter().map(item).collect::<Option<_>>()?;
        Some(write(&Draft::Items { items, target: 0 }, answer))
    }

    /// The text of an answer that is these points with their labels, as [`Reward::write_boxes`] writes boxes; `None` for
    /// answers that are no points.
    pub fn write_points(&self, points: &[([f64; 2], &str)]) -> Option<String> {
        let kind = self.config().answer.kind.kind().as_items()?;
        if kind.geometry() != Geometry::Point {
            return None;
        }
        let item = |(point, label): &([f64; 2], &str)| Sketch {
            label: (*label).to_owned(),
            ..Sketch::at(point.iter().map(|number| kind.tidy(*number)).collect())
        };
        let items = points.iter().map(item).collect();
        Some(write(&Draft::Items { items, target: 0 }, &self.config().answer))
    }

    /// The text of an answer that is these regions; `None` for answers that are none, and for several that are to be one
    /// where one of them is run lengths. Parts of a region are items of their own where any number may be given.
    ///
    /// ```
    /// use vrft_reward::{Region, Reward, config::RewardConfig, answers::{AnswerKind, PolygonAnswer}};
    /// let mut config = RewardConfig::default();
    /// config.answer.kind = AnswerKind::Polygon(PolygonAnswer::default());
    /// let region = Region::Outlines(vec![vec![[1.0, 2.0], [30.0, 2.0], [30.0, 40.0]]]);
    /// let text = Reward::new(&config).write_regions(&[region], "cat");
    /// assert_eq!(text.as_deref(), Some("[[[1, 2], [30, 2], [30, 40]]]"));
    /// ```
    pub fn write_regions(&self, regions: &[Region], label: &str) -> Option<String> {
        let answer = &self.config().answer;
        let kind = answer.kind.kind().as_items()?;
        if kind.geometry() != Geometry::Region {
            return None;
        }
        if regions.is_empty() {
            return Some(answer.nothing.clone());
        }
        let places = if kind.is_single() { vec![whole(regions)?] } else { parts(regions) };
        let sketch = Sketch { label: label.to_owned(), ..Sketch::at(Vec::new()) };
        let items = places.into_iter().map(|place| items::item(kind.keys(), &sketch, place));
        Some(kind.enclose(&items.collect::<Vec<_>>().join(", "), 0))
    }

    /// The completion that supervised tuning should teach for a truth: of those that give the true answer the one that
    /// this reward pays most for.
    ///
    /// The answer stays as the data has it where that is as good as any other and what the question asks for to the letter,
    /// else it is written anew: with the confidence that is asked for, or the tags, or without what stands around it. The thinking is that of the data, if it has any and the task asks
    /// for it, else `prefix`, which is text with tags of its own, such as `<think> … </think> `.
    ///
    /// ```
    /// let reward = vrft_reward::Reward::new(&vrft_reward::config::RewardConfig::default());
    /// let truth = reward.parse_answer("[{'Position': [1, 2, 3, 4], 'Confidence': 1}]")?;
    /// assert_eq!(
    ///     reward.demonstration(&truth, "<think> There. </think> "),
    ///     "<think> There. </think> <answer>[{'Position': [1, 2, 3, 4], 'Confidence': 1}]</answer>"
    /// );
    /// # Ok::<(), vrft_reward::RewardError>(())
    /// ```
    pub fn demonstration(&self, truth: &Truth, prefix: &str) -> String {
        let format = &self.config().format;
        let solution = Solution::new(&truth.solution);
        let thinking = solution.thinking.filter(|_| format.think);
        let opening = match thinking {
            Some(thinking) => format!("<think>{}</think>", without_tags(thinking)),
            None if prefix.is_empty() && format.think => "<think></think>".to_owned(),
            None => prefix.to_owned(),
        };
        let enclosed = |answer: &str| {
            if format.tags { format!("<answer>{answer}</answer>") } else { answer.to_owned() }
        };
        let as_it_is = truth.solution.trim();
        let mut candidates = Vec::new();
        match (solution.mark, solution.thinking, thinking) {
            // The mark of a data set is no part of the answer.
            (Some(_), ..) | (None, Some(_), None) => {}
            (None, None, _) => candidates.push(format!("{opening}{as_it_is}")),
            (None, Some(_), Some(_)) => candidates.push(as_it_is.to_owned()),
        }
        candidates.push(format!("{opening}{}", enclosed(solution.answer)));
        let written = self.written(&truth.answer);
        candidates.extend(written.map(|answer| format!("{opening}{}", enclosed(&answer))));
        self.best_of(candidates, truth)
    }

    /// The completion that earns most; of equal ones the earliest that is an answer to the letter, else the earliest: a
    /// forgiving reader pays for tokens of other models around a box, which the question does not ask for.
    fn best_of(&self, candidates: Vec<String>, truth: &Truth) -> String {
        // As short as any: what is asked for should not depend on length.
        let worth = |text: &str| {
            let attempt = Attempt { text, token_ids: Some(&[]), progress: 1.0 };
            let total = self.score_attempt(&attempt, truth).total.unwrap_or(f64::NEG_INFINITY);
            let answer = answer_text(text).unwrap_or_default();
            (total, read_strictly(answer, &self.config().answer).is_some())
        };
        let scored = candidates.into_iter().map(|text| (worth(&text), text));
        let better = |best: ((f64, bool), String), next: ((f64, bool), String)| {
            let is_better = next.0.0 > best.0.0 || next.0.0 == best.0.0 && next.0.1 && !best.0.1;
            if is_better { next } else { best }
        };
        scored.reduce(better).map_or_else(String::new, |(_, text)| text)
    }
}

/// The shape of something in a picture, in the space of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Region {
    /// Closed lines around its parts.
    Outlines(Vec<Vec<[f64; 2]>>),
    /// COCO's run lengths as JSON writes them.
    Runs(String),
}

fn line(corners: &[[f64; 2]]) -> String {
    items::points(corners.as_flattened())
}

/// All regions as one.
fn whole(regions: &[Region]) -> Option<String> {
    if let [Region::Runs(runs)] = regions {
        return Some(runs.clone());
    }
    let lines: Option<Vec<&Vec<Vec<[f64; 2]>>>> = regions
        .iter()
        .map(|region| match region {
            Region::Outlines(lines) => Some(lines),
            Region::Runs(_) => None,
        })
        .collect();
    let lines: Vec<String> = lines?.into_iter().flatten().map(|corners| line(corners)).collect();
    Some(if let [only] = &lines[..] { only.clone() } else { format!("[{}]", lines.join(", ")) })
}

/// Each closed line, and each region of run lengths.
fn parts(regions: &[Region]) -> Vec<String> {
    let parts = regions.iter().flat_map(|region| match region {
        Region::Outlines(lines) => lines.iter().map(|corners| line(corners)).collect(),
        Region::Runs(runs) => vec![runs.clone()],
    });
    parts.collect()
}

/// A thought in which no answer is given, since each tag should occur once.
fn without_tags(thinking: &str) -> String {
    TAGS.iter().fold(thinking.to_owned(), |text, tag| text.replace(tag, ""))
}

#[cfg(test)]
mod tests;
