//! A recording is written while the run goes on, and says what was asked and answered.

use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, Metric, PromptBatch, RewardBatch,
    Term, Turn,
};
use vrft_node::testing::Script;

use super::*;
use crate::ports::PORTS;

const BOX: &str =
    "<think>x</think><answer>[{'Position': [0, 0, 500, 500], 'Confidence': 1}]</answer>";

fn prompt() -> Prompt {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(8, 8).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    let encoding = "png".to_owned();
    Prompt {
        prompt_id: 0,
        sample_id: "frame-0".into(),
        task: "detection".into(),
        turns: vec![Turn::question(1, "Where?")],
        images: vec![EncodedImage { bytes, encoding, width: 8, height: 8 }],
        answer: BOX.into(),
        policy_version: 0,
    }
}

fn row(completion_idx: u16) -> CompletionRow {
    let completion = Completion {
        token_ids: vec![1],
        logprobs: vec![-0.5],
        text: BOX.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        replies: vec![],
    };
    CompletionRow {
        prompt_id: 0,
        completion_idx,
        policy_version: 0,
        completion,
        task: "detection".into(),
        answer: BOX.into(),
        first: None,
        images: vec![],
    }
}

fn reward(completion_idx: u16) -> RewardRow {
    let terms = vec![Term { name: "iou".into(), value: 1.0, weight: 1.0 }];
    RewardRow { prompt_id: 0, completion_idx, reward: Some(0.75), first_turn: None, terms }
}

#[test]
fn pictures_boxes_answers_and_curves_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let metric = Metric { step: 1, name: "reward/total/mean".into(), value: 0.75, at: 0.0 };
    let (node, _sent) = Script::new(&PORTS)
        .run_dir(folder.path())
        .message("prompts", &PromptBatch { prompts: vec![prompt()] })
        .message("groups", &CompletionBatch { completions: [0, 1].map(row).into() })
        .message("rewards", &RewardBatch { rewards: [0, 1].map(reward).into() })
        .message("reward", &MetricBatch { metrics: vec![metric] })
        .end("prompts")
        .end("groups")
        .end("rewards")
        .end("reward")
        .node();
    crate::run(node, &Document::empty()).unwrap();
    let bytes = std::fs::read(folder.path().join("run.rrd")).unwrap();
    assert!(bytes.starts_with(b"RRF"), "{:?}", &bytes[..4]);
    for path in ["prompts/0/image_0/truth", "prompts/0/answers", "curves/reward/reward/total/mean"]
    {
        let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(found, "{path} is not in the recording");
    }
}
