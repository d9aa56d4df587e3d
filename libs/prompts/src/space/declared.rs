//! What a configuration says of the coordinates of a data set.

use vrft_dataset::{BoxesAre, DataConfig, DataSpace, EvaluationConfig};

/// What a data set's configuration says of its coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// What they count.
    pub space: Option<DataSpace>,
    /// `data.boxes_are`.
    pub boxes_are: Option<BoxesAre>,
    /// The key that says what they count, or would.
    pub key: &'static str,
}

impl Default for Declared {
    fn default() -> Self {
        Self { space: None, boxes_are: None, key: "data.space" }
    }
}

impl Declared {
    /// Of rows to learn from, those of a task where there are several.
    pub fn learned(data: &DataConfig, task: Option<&str>) -> Self {
        let source = data.sources.iter().find(|source| Some(source.task.as_str()) == task);
        let is_own = source.is_some_and(|source| source.space.is_some());
        let key = if is_own { "data.sources.space" } else { "data.space" };
        Self { space: data.space_of(task), boxes_are: data.boxes_are, key }
    }

    /// Of rows to judge on, which may count in another space.
    pub fn judged(data: &DataConfig, evaluation: &EvaluationConfig, task: Option<&str>) -> Self {
        match evaluation.space {
            Some(space) => {
                Self { space: Some(space), boxes_are: data.boxes_are, key: "evaluation.space" }
            }
            None => Self::learned(data, task),
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn what_is_judged_on_may_count_in_another_space() {
        let read = |text: &str| {
            let document = Document::parse(text, "test").unwrap();
            let (data, evaluation): (DataConfig, EvaluationConfig) =
                (document.section().unwrap(), document.section().unwrap());
            let of = |declared: Declared| (declared.space, declared.key);
            let learned = of(Declared::learned(&data, Some("a")));
            (learned, of(Declared::judged(&data, &evaluation, Some("a"))))
        };
        let of_data = (Some(DataSpace::Thousandths), "data.space");
        let judged = (Some(DataSpace::Pixels), "evaluation.space");
        let text = "[data]\nspace = \"thousandths\"\n";
        assert_eq!(read(text), (of_data, of_data));
        let evaluation = format!("{text}[evaluation]\nspace = \"pixels\"");
        assert_eq!(read(&evaluation), (of_data, judged));
        let source = "[[data.sources]]\ntask = \"a\"\ntrain = \"a\"\nspace = \"unit\"";
        let own = (Some(DataSpace::Unit), "data.sources.space");
        assert_eq!(read(source), (own, own));
    }
}
