//! Held-out images with the true boxes and what each policy predicted, in the order of the file.

use std::path::Path;

use crate::ReportError;
use crate::html::{data_uri, escape};
use crate::label;
use crate::load::{Run, bytes};
use crate::number::count;
use crate::prediction::{Corners, Prediction, Turn};

/// Most images that are shown.
const MAX_IMAGES: usize = 24;
/// Most boxes drawn in one image, for policies that fill it with boxes.
const MAX_BOXES: usize = 12;
/// Characters of a question that are printed.
const MAX_QUESTION: usize = 160;
/// Characters of a completion that are printed.
const MAX_CHARACTERS: usize = 4000;

/// The gallery and the sentence that says how its images were chosen.
pub(crate) struct Gallery {
    pub(crate) rule: String,
    pub(crate) html: String,
}

/// The first samples of the held-out file that have an image; empty without predictions or images.
pub(crate) fn gallery(run: &Run) -> Result<Gallery, ReportError> {
    let shown = run.predictions.keys().map(String::as_str);
    // The constant answer is the same on every picture.
    let labels = label::ordered(shown.filter(|label| !label.starts_with(label::CONSTANT)));
    let samples = labels.iter().map(|label| &run.predictions[label]).max_by_key(|list| list.len());
    let samples: Vec<&Prediction> = samples.into_iter().flatten().collect();
    let same_question = samples.windows(2).all(|pair| pair[0].question == pair[1].question);
    let mut cards = Vec::new();
    for sample in &samples {
        if cards.len() == MAX_IMAGES {
            break;
        }
        if let Some(uri) = image(&run.dir, sample)? {
            let answers = answers(run, &labels, sample);
            let question = if same_question { String::new() } else { question(sample) };
            let dir = &run.dir;
            cards.push(Card { dir, sample, uri, answers, question }.html()?);
        }
    }
    if cards.is_empty() {
        return Ok(Gallery { rule: String::new(), html: String::new() });
    }
    // Names have no boxes to show or hide.
    let is_named = run.predictions.values().flatten().all(Prediction::is_name);
    let (toggles, meaning) = if is_named {
        (String::new(), "Above the answers stands the true name.")
    } else {
        (toggles(&labels), "Numbers are IoU with the truth.")
    };
    let is_open = cards.iter().any(|card| card.contains(OPEN));
    let how = if is_open {
        "Below each stands what each policy wrote."
    } else {
        "Open a sample's name to read what each policy wrote."
    };
    let rule = format!(
        "The first {} of the held-out file that have an image, in file order: nothing was picked. {meaning} {how}",
        count(cards.len(), "sample")
    );
    let cards = cards.concat();
    let asked = samples.first().filter(|_| same_question).map(|sample| question(sample));
    let asked = asked.unwrap_or_default();
    let html =
        format!("<div class=gallery>\n{asked}{toggles}<div class=cards>\n{cards}</div></div>");
    Ok(Gallery { rule, html })
}

/// How the part of a card begins that is open from the start.
const OPEN: &str = "<details open>";

/// A sample and what each policy that saw it answered.
struct Card<'a> {
    dir: &'a Path,
    sample: &'a Prediction,
    uri: String,
    answers: Vec<(&'a str, &'a Prediction)>,
    /// The question, where others are asked another.
    question: String,
}

impl Card<'_> {
    fn html(&self) -> Result<String, ReportError> {
        let id = escape(&self.sample.sample_id);
        let photo = format!(
            "<div class=photo><img src=\"{}\" alt=\"sample {id}\">{}</div>",
            self.uri,
            self.overlay()
        );
        let mut scores = String::new();
        let mut completions = String::new();
        for (label, answer) in &self.answers {
            let class = label::class(label);
            let name = escape(&label::display(label));
            scores += &format!(
                "<li class={class}><i class=swatch></i><span>{name}</span><b>{}</b></li>",
                result(answer)
            );
            completions += &format!(
                "<h4 class={class}><i class=swatch></i>{name}</h4>{}<pre>{}</pre>",
                turns(self.dir, &answer.turns)?,
                said(&answer.completion)
            );
        }
        let question = &self.question;
        let truth = if self.sample.is_name() {
            format!("<p class=truth>{}</p>", escape(self.sample.true_name()))
        } else {
            String::new()
        };
        // Thinking says why an answer came out as it did; without any, the pictures and numbers say all.
        let open = if self.answers.iter().any(|(_, answer)| steps(&answer.completion).is_some()) {
            OPEN
        } else {
            "<details>"
        };
        Ok(format!(
            "<figure class=card>{photo}<figcaption>{question}{truth}<ul class=scores>{scores}</ul></figcaption>{open}<summary>{id}</summary>{completions}</details></figure>\n"
        ))
    }

    /// Boxes drawn in thousandths of width and height, stretched over the image.
    fn overlay(&self) -> String {
        let mut groups = boxes("b-truth", &self.sample.true_boxes());
        for (label, answer) in &self.answers {
            groups +=
                &boxes(&label::class(label).replacen("s-", "b-", 1), &answer.predicted_boxes());
        }
        if groups.is_empty() {
            groups
        } else {
            format!(
                "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=none aria-hidden=true>{groups}</svg>"
            )
        }
    }
}

/// The turns before an answer: what the policy said, and what it was told and shown.
fn turns(dir: &Path, turns: &[Turn]) -> Result<String, ReportError> {
    let mut html = String::new();
    for turn in turns {
        let who = turn.tool.as_deref().unwrap_or("question");
        html += &format!("<pre>{}</pre><p class=reply><b>{}</b> ", said(&turn.said), escape(who));
        // A name from a file names nothing outside of the folder.
        let names = turn.pictures.iter().filter(|name| !name.contains(['/', '\\']));
        for name in names {
            let file = bytes(&dir.join("images").join(name))?;
            if let Some(uri) = file.and_then(|file| data_uri(&file)) {
                html += &format!("<img src=\"{uri}\" alt=\"what it was shown\"> ");
            }
        }
        html += &format!("{}</p>", escape(&turn.reply));
    }
    Ok(html)
}

/// What was asked about a sample: its beginning, and all of it to whoever points at it.
fn question(sample: &Prediction) -> String {
    let question = sample.question.trim();
    if question.is_empty() {
        return String::new();
    }
    let first = question.lines().next().unwrap_or_default();
    let start: String = first.chars().take(MAX_QUESTION).collect();
    let more = if start == question { "" } else { "\u{2026}" };
    format!(
        "<p class=question title=\"{}\">{}{more}</p>",
        escape(question),
        escape(start.trim_end())
    )
}

/// A completion, with its thinking set apart from its answer.
fn said(completion: &str) -> String {
    let text: String = completion.chars().take(MAX_CHARACTERS).collect();
    match steps(&text) {
        Some((steps, rest)) => {
            format!("<span class=thinking>{}</span>{}", escape(steps), escape(rest))
        }
        None => escape(&text),
    }
}

/// The thinking at the start of a completion, if it has several sentences, and what follows. A fixed phrase before every
/// answer is no thinking.
fn steps(completion: &str) -> Option<(&str, &str)> {
    let end = completion.find("</think>")?;
    let (thinking, rest) = completion.split_at(end + "</think>".len());
    let inside = thinking.trim_start().strip_prefix("<think>")?;
    let inside = inside.trim_end_matches("</think>").trim_end();
    inside.contains(". ").then_some((thinking, rest))
}

fn answers<'a>(
    run: &'a Run,
    labels: &'a [String],
    sample: &Prediction,
) -> Vec<(&'a str, &'a Prediction)> {
    let answer = |label: &'a String| {
        let answers = run.predictions.get(label)?.iter();
        let mut own = answers.filter(|answer| answer.key() == sample.key());
        Some((label.as_str(), own.next()?))
    };
    labels.iter().filter_map(answer).collect()
}

/// The IoU, or the name with a mark, or whether nothing was found where there is nothing.
fn result(answer: &Prediction) -> String {
    if answer.is_name() {
        let mark = if answer.score() == Some(1.0) { "\u{2713}" } else { "\u{2717}" };
        return format!("{mark} {}", escape(answer.predicted_name()));
    }
    if answer.is_nothing() {
        return match answer.predicted_boxes().len() {
            0 => "\u{2713} <small>nothing there</small>".to_owned(),
            n => format!("\u{2717} <small>nothing there, {n} found</small>"),
        };
    }
    let score =
        answer.score().map(|score| format!("{score:.2}")).unwrap_or_else(|| "\u{2013}".to_owned());
    if answer.predicted_boxes().is_empty() {
        format!("{score} <small>no box</small>")
    } else {
        score
    }
}

fn boxes(class: &str, boxes: &[Corners]) -> String {
    let rect = |corners: &Corners| {
        let (x, y) = (corners.x1, corners.y1);
        // A box without area would not be drawn at all.
        let (width, height) = ((corners.x2 - x).max(2.0), (corners.y2 - y).max(2.0));
        let place =
            format!("x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\"");
        format!("<rect class=casing {place}/><rect class=ink {place}/>")
    };
    let rects: String = boxes.iter().take(MAX_BOXES).map(rect).collect();
    if rects.is_empty() { rects } else { format!("<g class={class}>{rects}</g>") }
}

/// The legend of the boxes; each entry shows or hides its boxes, by style alone.
fn toggles(labels: &[String]) -> String {
    let toggle = |key: &str, class: &str, name: &str| {
        format!(
            "<label class={class}><input type=checkbox id=show-{key} checked><i class=swatch></i>{}</label>",
            escape(name)
        )
    };
    let known = labels.iter().filter(|label| label::rank(label) < 3);
    let policies = known.map(|label| toggle(label, label::class(label), &label::display(label)));
    format!(
        "<fieldset class=toggles><legend>Show</legend>{}{}</fieldset>\n",
        toggle("truth", "s-truth", "truth"),
        policies.collect::<String>()
    )
}

/// The image of a sample as a data URI.
fn image(dir: &Path, sample: &Prediction) -> Result<Option<String>, ReportError> {
    let Some(name) = sample.picture() else { return Ok(None) };
    for extension in ["png", "jpg", "webp", "bmp"] {
        let path = dir.join("images").join(format!("{name}.{extension}"));
        if let Some(bytes) = bytes(&path)? {
            return Ok(data_uri(&bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_area_is_visible() {
        let corners = Corners { x1: 5.0, y1: 5.0, x2: 5.0, y2: 9.0, confidence: None };
        assert!(boxes("b-rft", &[corners]).contains("width=\"2\" height=\"4\""));
    }

    #[test]
    fn thinking_in_steps_is_set_apart_and_a_phrase_is_not() {
        let thought = "<think>red bag 1,2,3. bag: red.</think><answer>1 < 2</answer>";
        let expected = "<span class=thinking>&lt;think&gt;red bag 1,2,3. bag: red.&lt;/think&gt;</span>&lt;answer&gt;1 &lt; 2&lt;/answer&gt;";
        assert_eq!(said(thought), expected);
        let phrase = "<think> It stands out. </think> 1";
        for text in
            [phrase, "<think>It stands out.</think>1", "a. b</think>", "<think>a. b", "", "5"]
        {
            assert_eq!(said(text), escape(text));
        }
    }
}
