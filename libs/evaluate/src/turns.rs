//! Held-out answers of several turns: the tools that need no node, and the question that asks to correct an answer.

use vrft_dataset::Row;
use vrft_messages::{EncodedImage, Reply};
use vrft_plan::ToolsConfig;
use vrft_processor::Processor;
use vrft_reward::config::RewardConfig;
use vrft_rollout::{Answer, Call, Completion, Partner, RolloutError};
use vrft_vision::{CoordinateSpace, ZOOMED, Zoomable};

/// An answer to a held-out question: what counts, and what was said before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) completion: String,
    pub(crate) turns: Vec<Reply>,
}

impl From<String> for Said {
    fn from(completion: String) -> Self {
        Self { completion, turns: Vec::new() }
    }
}

impl From<Completion> for Said {
    fn from(completion: Completion) -> Self {
        Self { completion: completion.text, turns: completion.replies }
    }
}

/// Speaks to the policy about held-out rows.
pub(crate) struct HeldOutPartner<'a> {
    rows: &'a [&'a Row],
    processor: &'a Processor,
    tools: &'a [String],
    max_calls: usize,
    question: Option<&'a str>,
}

impl<'a> HeldOutPartner<'a> {
    pub(crate) fn new(
        rows: &'a [&'a Row],
        processor: &'a Processor,
        tools: Option<&'a ToolsConfig>,
        reward: &'a RewardConfig,
    ) -> Self {
        let correction = reward.correction.as_ref().filter(|it| it.is_of_policy());
        Self {
            rows,
            processor,
            tools: tools.map_or(&[], |tools| &tools.held_out),
            max_calls: tools.map_or(0, |tools| tools.max_calls),
            question: correction.map(|correction| correction.question.as_str()),
        }
    }

    /// The only tool that an evaluation has is the zoom.
    fn zoom(&self, call: &Call) -> Result<Answer, String> {
        let row = self.rows[call.prompt_idx];
        let files = row.pictures.iter().map(|picture| picture.bytes());
        let files = files.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let extents = row.pictures.iter().map(|picture| {
            let size = picture.header().displayed();
            match self.processor.coordinates().space {
                CoordinateSpace::Thousandths => Ok([1000; 2]),
                CoordinateSpace::Original => Ok([size.0, size.1]),
                CoordinateSpace::Resized => vrft_prompts::resized(self.processor, size)
                    .map(|(width, height)| [width, height]),
            }
        });
        let extents = extents.collect::<Result<Vec<_>, String>>()?;
        let pictures = files.iter().zip(extents);
        let pictures: Vec<Zoomable> =
            pictures.map(|(bytes, extent)| Zoomable { bytes, extent }).collect();
        let zoomed = vrft_vision::zoom(&call.arguments, &pictures)?;
        let (width, height) = (zoomed.width, zoomed.height);
        let image = EncodedImage { bytes: zoomed.png, encoding: "png".to_owned(), width, height };
        Ok(Answer { text: ZOOMED.to_owned(), images: vec![image] })
    }
}

impl Partner for HeldOutPartner<'_> {
    fn tools(&self) -> &[String] {
        self.tools
    }

    fn max_calls(&self) -> usize {
        self.max_calls
    }

    fn question(&self, _prompt_idx: usize) -> Option<String> {
        self.question.map(str::to_owned)
    }

    fn answer(&mut self, calls: &[Call]) -> Result<Vec<Answer>, RolloutError> {
        let error = |why| Answer { text: format!("Error: {why}."), images: Vec::new() };
        Ok(calls.iter().map(|call| self.zoom(call).unwrap_or_else(error)).collect())
    }
}
