//! What an answer says is in the picture, in pixels of the original.

use serde::Serialize;
use vrft_processor::Coordinates;
use vrft_reward::answers::{AnswerKind, BoxesAnswer, ItemKeys};
use vrft_reward::config::{AnswerConfig, FormatConfig, From, RewardConfig};
use vrft_reward::{Answer, Frame, Reward, Space};
use vrft_vision::CoordinateSpace;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The place of what was found.
    #[serde(flatten)]
    pub place: Place,
    /// What it is, if the answer says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How sure the policy is, from 0 to 1, if the task asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

/// A place in pixels of the original picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// x1, y1, x2, y2, cut off at the picture's edges.
    Box([f64; 4]),
    /// A point, as x and y.
    Point([f64; 2]),
}

/// What became of the text of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// The task's reader makes nothing of it, or no task is declared.
    Unread,
    /// It says that there is nothing to be found.
    Nothing,
    /// The answer says something.
    Something,
}

impl Reading {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Reading::Unread => "unread",
            Reading::Nothing => "nothing",
            Reading::Something => "something",
        }
    }
}

/// How answers of a checkpoint are read.
pub(crate) struct Reader {
    pub(crate) reward: Reward,
    /// What pixels are pixels of, where answers are in pixels.
    pixels: CoordinateSpace,
}

impl Reader {
    /// By the declared task: its pixels are those of the picture as the model sees it.
    pub(crate) fn declared(reward: &RewardConfig) -> Self {
        Self { reward: Reward::new(reward), pixels: CoordinateSpace::Resized }
    }

    /// By what the checkpoint's family was trained to say; `None` where that is not marked as a list of objects, so that
    /// any four numbers of a sentence could be taken for a box.
    pub(crate) fn native(coordinates: Coordinates) -> Option<Self> {
        let keys = coordinates.item_keys?;
        let keys =
            ItemKeys { place: keys.place.into(), label: keys.label.into(), ..ItemKeys::default() };
        let space = match coordinates.space {
            CoordinateSpace::Thousandths => Space::Thousandths,
            CoordinateSpace::Resized | CoordinateSpace::Original => Space::Pixels,
        };
        let kind = AnswerKind::Boxes(BoxesAnswer { space, keys, ..BoxesAnswer::default() });
        let answer = AnswerConfig { from: From::Anywhere, ..AnswerConfig::of(kind) };
        let format = FormatConfig { think: false, tags: false, ..FormatConfig::default() };
        let reward = Reward::new(&RewardConfig { answer, format, ..RewardConfig::default() });
        Some(Self { reward, pixels: coordinates.space })
    }

    /// The kind of answers that it reads, as `reward.answer.type` has it.
    pub(crate) fn kind(&self) -> &'static str {
        self.reward.config().answer.kind.name()
    }

    /// What places in an answer count about a picture of this size, which the model saw in that size; `None` for answers
    /// without places.
    pub(crate) fn frame(&self, original: (u32, u32), resized: (u32, u32)) -> Option<Frame> {
        let space = self.reward.config().answer.space()?;
        let of = if self.pixels == CoordinateSpace::Original { original } else { resized };
        Some(Frame::of(space, of.0, of.1))
    }

    /// What a completion says about a picture of this size, which the model saw in that size.
    pub(crate) fn read(
        &self,
        completion: &str,
        original: (u32, u32),
        resized: (u32, u32),
    ) -> (Reading, Vec<Found>) {
        let Some(answer) = self.reward.read(completion) else {
            return (Reading::Unread, Vec::new());
        };
        if answer == Answer::Nothing {
            return (Reading::Nothing, Vec::new());
        }
        let Some(frame) = self.frame(original, resized) else {
            return (Reading::Something, Vec::new());
        };
        let answer = answer.converted(frame, Frame::pixels(original.0, original.1));
        let found = answer.items().iter().filter_map(|item| {
            let place = place(&item.place, original)?;
            Some(Found { place, label: item.label.clone(), confidence: item.confidence })
        });
        (Reading::Something, found.collect())
    }
}

/// A place that has pixels in the picture.
fn place(place: &vrft_reward::Place, (width, height): (u32, u32)) -> Option<Place> {
    let (width, height) = (f64::from(width), f64::from(height));
    match place {
        vrft_reward::Place::Box(bbox) => {
            let [x1, y1, x2, y2] = bbox.corners();
            let (x1, x2) = (x1.clamp(0.0, width), x2.clamp(0.0, width));
            let (y1, y2) = (y1.clamp(0.0, height), y2.clamp(0.0, height));
            (x1 < x2 && y1 < y2).then_some(Place::Box([x1, y1, x2, y2]))
        }
        vrft_reward::Place::Point([x, y]) => {
            let is_inside = (0.0..=width).contains(x) && (0.0..=height).contains(y);
            is_inside.then_some(Place::Point([*x, *y]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(toml: &str) -> Reader {
        let document = vrft_config::Document::parse(toml, "test").unwrap();
        Reader::declared(&document.section().unwrap())
    }

    fn bbox(corners: [f64; 4], label: Option<&str>, confidence: Option<f64>) -> Found {
        Found { place: Place::Box(corners), label: label.map(str::to_owned), confidence }
    }

    #[test]
    fn thousandths_become_pixels_of_the_original() {
        let reader = declared("");
        let text = "<think>.</think><answer>[{'Position': [100, 500, 300, 1000], 'Confidence': 0.75}]</answer>";
        let found = reader.read(text, (640, 480), (644, 476));
        let expected = bbox([64.0, 240.0, 192.0, 480.0], None, Some(0.75));
        assert_eq!(found, (Reading::Something, vec![expected]));
    }

    #[test]
    fn nothing_and_nonsense_are_told_apart() {
        let reader = declared("");
        let read = |text: &str| reader.read(text, (64, 48), (56, 56)).0;
        assert_eq!(read("<think></think><answer>No Objects</answer>"), Reading::Nothing);
        assert_eq!(read("I see a cat."), Reading::Unread);
    }

    fn native(space: CoordinateSpace) -> Reader {
        let keys = vrft_processor::ItemKeys { place: "bbox_2d", label: "label" };
        Reader::native(Coordinates { space, item_keys: Some(keys) }).unwrap()
    }

    #[test]
    fn a_familys_own_list_is_read_without_a_declaration() {
        let text = "```json\n[{\"bbox_2d\": [322, 0, 644, 238], \"label\": \"cup\"}]\n```";
        let found = native(CoordinateSpace::Resized).read(text, (640, 480), (644, 476)).1;
        assert_eq!(found, [bbox([320.0, 0.0, 640.0, 240.0], Some("cup"), None)]);
        let found = native(CoordinateSpace::Original).read(text, (640, 480), (644, 476)).1;
        assert_eq!(found, [bbox([322.0, 0.0, 640.0, 238.0], Some("cup"), None)]);
    }

    #[test]
    fn numbers_of_a_sentence_are_no_box() {
        let text = "The 4 cups cost 10, 20, 30 and 40 euros.";
        let found = native(CoordinateSpace::Resized).read(text, (640, 480), (644, 476)).1;
        assert_eq!(found, []);
        let bare = Coordinates { space: CoordinateSpace::Thousandths, item_keys: None };
        assert!(Reader::native(bare).is_none());
    }

    #[test]
    fn a_box_is_cut_off_at_the_edges_and_left_out_beyond_them() {
        let reader = native(CoordinateSpace::Resized);
        let text = "[{\"bbox_2d\": [5, 10, 700, 20], \"label\": \"a\"}, \
                    {\"bbox_2d\": [800, 10, 900, 20], \"label\": \"b\"}]";
        let found = reader.read(text, (644, 476), (644, 476)).1;
        assert_eq!(found, [bbox([5.0, 10.0, 644.0, 20.0], Some("a"), None)]);
    }

    #[test]
    fn points_are_places_too() {
        let toml = "[reward.answer]\ntype = \"points\"\n[reward.terms.near]\nmetric = \"overlap\"\n\
                    [reward.match]\nmeasure = \"l1\"";
        let found =
            declared(toml).read("<think></think><answer>[[500, 250]]</answer>", (64, 48), (56, 56));
        assert_eq!(found.1[0].place, Place::Point([32.0, 12.0]));
    }

    #[test]
    fn a_text_with_numbers_in_it_is_no_place() {
        let task = |kind: &str| {
            declared(&format!(
                "[reward.answer]\ntype = \"{kind}\"\n[reward.terms.a]\nmetric = \"accuracy\""
            ))
        };
        let words = "<think></think><answer>[10, 20, 30, 40] and 50</answer>";
        for kind in ["text", "label"] {
            let read = task(kind).read(words, (64, 48), (56, 56));
            assert_eq!(read, (Reading::Something, Vec::new()), "{kind}");
        }
    }

    #[test]
    fn what_was_found_is_written_as_json() {
        let found = [
            bbox([1.0, 2.0, 3.0, 4.5], Some("cup"), None),
            Found { place: Place::Point([1.0, 2.0]), label: None, confidence: Some(0.5) },
        ];
        let json = serde_json::to_string(&found).unwrap();
        let expected = "[{\"box\":[1.0,2.0,3.0,4.5],\"label\":\"cup\"},{\"point\":[1.0,2.0],\"confidence\":0.5}]";
        assert_eq!(json, expected);
    }
}
