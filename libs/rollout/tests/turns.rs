//! Completions of several turns: of the tiny policy of `libs/model/tests/golden`, whose weights are random, where words are
//! enough, and of the starter policy in `data`, which writes `<think>` and `<answer>`, where a tool is called by a tag.

use std::path::PathBuf;

use candle_core::{DType, Device};
use vrft_messages::EncodedImage;
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::{EncodedPrompt, Insertion, Processor};
use vrft_rollout::{
    Answer, Call, Completion, FinishReason, Generator, Partner, RolloutError, Sampling, generate,
    insertions,
};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(path)
}

fn picture() -> EncodedImage {
    let bytes = std::fs::read(golden("images/near.png")).expect("image");
    EncodedImage { bytes, encoding: "png".into(), width: 1, height: 1 }
}

struct Setup {
    policy: Policy,
    processor: Processor,
    prompts: Vec<EncodedPrompt>,
}

impl Setup {
    fn new() -> Self {
        Self::of(&golden("qwen2_vl"))
    }

    /// The policy that thinks first.
    fn starter() -> Self {
        Self::of(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/starter"))
    }

    fn of(dir: &std::path::Path) -> Self {
        let options = LoadOptions {
            dtype: DType::F32,
            device: Device::Cpu,
            trainable: false,
            quantization: Default::default(),
            freeze_vision: false,
            lora: None,
            prompt_tuning: None,
            feature_cache_mib: 0,
            prefix_cache_mib: 0,
        };
        let policy = Policy::load(dir, &options).expect("policy");
        let processor = Processor::load(dir).expect("processor");
        let image = picture();
        let prompts = ["Where?", "How many are there?"]
            .map(|text| processor.encode(None, text, &[&image.bytes]).expect("encodes"))
            .into();
        Self { policy, processor, prompts }
    }

    fn sample(&self, partner: &mut dyn Partner, max_tokens: usize) -> Vec<Vec<Completion>> {
        self.try_sample(partner, max_tokens, 64).expect("samples")
    }

    fn try_sample(
        &self,
        partner: &mut dyn Partner,
        max_tokens: usize,
        max_rows: usize,
    ) -> Result<Vec<Vec<Completion>>, RolloutError> {
        let prompts: Vec<&EncodedPrompt> = self.prompts.iter().collect();
        let seeds = |prompt: usize, completion: usize| 100 * prompt as u64 + completion as u64;
        let sampling = Sampling { max_rows, ..sampling(max_tokens) };
        let (policy, processor, sampling) = (&self.policy, &self.processor, &sampling);
        let generator = Generator { policy, processor, sampling, group_size: 4 };
        generator.in_turns(&prompts, &seeds, partner)
    }

    /// Logprobs of the policy's own tokens in one packed forward, as a learner computes them.
    fn logprobs(&self, prompt: usize, group: &[Completion]) -> Vec<f32> {
        let completions: Vec<&[u32]> = group.iter().map(|c| c.token_ids.as_slice()).collect();
        let inserted: Vec<Vec<Insertion>> =
            group.iter().map(|c| insertions(&self.processor, c).expect("encodes")).collect();
        let inserted: Vec<&[Insertion]> = inserted.iter().map(Vec::as_slice).collect();
        let prompt = &self.prompts[prompt];
        let packed = PackedGroup { prompt, completions: &completions, inserted: &inserted };
        let logprobs = self.policy.logprobs(&[packed], 1.0).expect("logprobs").logprobs;
        logprobs.to_vec1::<f32>().expect("vector")
    }
}

fn sampling(max_tokens: usize) -> Sampling {
    Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        max_tokens,
        min_tokens: 0,
        stop: vec!["e".into()],
        max_rows: 64,
    }
}

/// Asks a question after the first turn, which ends with the first "e".
struct Asks(Option<&'static str>);

impl Partner for Asks {
    fn tools(&self) -> &[String] {
        &[]
    }
    fn max_calls(&self) -> usize {
        0
    }
    fn question(&self, prompt_idx: usize) -> Option<String> {
        self.0.filter(|_| prompt_idx == 1).map(str::to_owned)
    }
    fn answer(&mut self, _: &[Call]) -> Result<Vec<Answer>, RolloutError> {
        panic!("nothing is called")
    }
}

#[test]
fn a_second_turn_follows_the_question_and_is_what_the_packed_forward_predicts() {
    let setup = Setup::new();
    let groups = setup.sample(&mut Asks(Some("Are you sure?")), 60);
    let prompts: Vec<&EncodedPrompt> = setup.prompts.iter().collect();
    let seeds = |prompt: usize, completion: usize| 100 * prompt as u64 + completion as u64;
    let alone = generate(&setup.policy, &setup.processor, &prompts, 4, &sampling(60), &seeds);
    let alone = alone.expect("samples");
    assert_eq!(groups[0], alone[0], "who is not asked is not changed");
    let asked: Vec<&Completion> = groups[1].iter().filter(|c| !c.replies.is_empty()).collect();
    assert!(!asked.is_empty(), "within 60 tokens some completion has an e");
    for (completion, first) in groups[1].iter().zip(&alone[1]) {
        let Some(reply) = completion.replies.first() else { continue };
        let n = reply.after as usize;
        assert_eq!(completion.token_ids[..n], first.token_ids, "the first turn is the same");
        assert_eq!(reply.said, first.text);
        assert_eq!((reply.tool.as_deref(), reply.text.as_str()), (None, "Are you sure?"));
        let second = setup.processor.decode(&completion.token_ids[n..]).expect("decodes");
        assert_eq!(completion.text, second, "the text is that of the last turn");
        assert_eq!(completion.replies.len(), 1, "asked once");
    }
    for (prompt, group) in groups.iter().enumerate() {
        let sampled: Vec<f32> = group.iter().flat_map(|c| c.logprobs.clone()).collect();
        let expected = setup.logprobs(prompt, group);
        assert_eq!(sampled.len(), expected.len(), "only the policy's tokens are predicted");
        for (sampled, expected) in sampled.iter().zip(&expected) {
            assert!((sampled - expected).abs() <= 1e-4, "{sampled} should be {expected}");
        }
    }
}

/// Answers calls of the tool `think`, and notes them.
struct Answers {
    tools: Vec<String>,
    max_calls: usize,
    rounds: Vec<Vec<Call>>,
    answer: fn(&Call) -> Answer,
}

impl Answers {
    fn new(max_calls: usize, answer: fn(&Call) -> Answer) -> Self {
        Self { tools: vec!["think".into()], max_calls, rounds: vec![], answer }
    }
}

impl Partner for Answers {
    fn tools(&self) -> &[String] {
        &self.tools
    }
    fn max_calls(&self) -> usize {
        self.max_calls
    }
    fn question(&self, _: usize) -> Option<String> {
        None
    }
    fn answer(&mut self, calls: &[Call]) -> Result<Vec<Answer>, RolloutError> {
        self.rounds.push(calls.to_vec());
        Ok(calls.iter().map(self.answer).collect())
    }
}

fn shows(call: &Call) -> Answer {
    let text = format!("Call {} of {}.", call.call_idx, call.completion_idx);
    Answer { text, images: vec![picture()] }
}

fn says(_: &Call) -> Answer {
    Answer { text: "Nothing there.".into(), images: vec![] }
}

#[test]
fn a_picture_that_a_tool_shows_is_read_before_the_policy_goes_on() {
    let setup = Setup::starter();
    let mut partner = Answers::new(2, shows);
    let groups = setup.sample(&mut partner, 60);
    assert!(!partner.rounds.is_empty() && partner.rounds.len() <= 2, "{:?}", partner.rounds);
    let order: Vec<_> =
        partner.rounds[0].iter().map(|c| (c.prompt_idx, c.completion_idx)).collect();
    assert!(order.is_sorted(), "{order:?}");
    let called: Vec<&Completion> =
        groups.iter().flatten().filter(|c| !c.replies.is_empty()).collect();
    assert_eq!(called.iter().map(|c| c.n_calls()).sum::<usize>(), partner.rounds.concat().len());
    for completion in &called {
        for reply in &completion.replies {
            assert_eq!((reply.tool.as_deref(), reply.images.len()), (Some("think"), 1));
            assert!(reply.said.contains("<think>") && reply.said.contains("</think>"), "{reply:?}");
        }
        assert!(!completion.text.contains("think>"), "a call is no answer: {}", completion.text);
    }
    for (prompt, group) in groups.iter().enumerate() {
        let sampled: Vec<f32> = group.iter().flat_map(|c| c.logprobs.clone()).collect();
        let expected = setup.logprobs(prompt, group);
        assert_eq!(sampled.len(), expected.len());
        for (sampled, expected) in sampled.iter().zip(&expected) {
            assert!((sampled - expected).abs() <= 1e-4, "{sampled} should be {expected}");
        }
    }
    // The picture matters: with words in its place, the policy goes on in another way.
    let blind = setup.sample(&mut Answers::new(2, says), 60);
    let texts = |groups: &[Vec<Completion>]| -> Vec<Vec<u32>> {
        groups.iter().flatten().map(|c| c.token_ids.clone()).collect()
    };
    assert_ne!(texts(&blind), texts(&groups));
}

#[test]
fn the_same_seeds_give_the_same_turns_and_little_room_changes_no_text() {
    let setup = Setup::starter();
    let groups = setup.sample(&mut Answers::new(2, shows), 60);
    assert_eq!(setup.sample(&mut Answers::new(2, shows), 60), groups);
    let few = setup.try_sample(&mut Answers::new(2, shows), 60, 4).expect("samples");
    let tokens = |groups: &[Vec<Completion>]| -> Vec<Vec<u32>> {
        groups.iter().flatten().map(|c| c.token_ids.clone()).collect()
    };
    assert_eq!(tokens(&few), tokens(&groups));
}

#[test]
fn a_call_too_many_ends_a_completion_without_an_answer() {
    let setup = Setup::starter();
    let groups = setup.sample(&mut Answers::new(0, says), 60);
    let ended: Vec<&Completion> = groups
        .iter()
        .flatten()
        .filter(|completion| completion.finish_reason == FinishReason::Call)
        .collect();
    assert!(!ended.is_empty());
    for completion in ended {
        assert!(completion.replies.is_empty() && !completion.text.contains("think"));
    }
}

#[test]
fn a_picture_that_cannot_be_read_is_an_error_that_the_policy_reads() {
    let setup = Setup::starter();
    let broken = |_: &Call| Answer {
        text: "Here.".into(),
        images: vec![EncodedImage { bytes: vec![1, 2, 3], ..picture() }],
    };
    let groups = setup.sample(&mut Answers::new(1, broken), 40);
    let replies: Vec<_> = groups.iter().flatten().flat_map(|c| &c.replies).collect();
    assert!(!replies.is_empty());
    for reply in replies {
        assert!(reply.images.is_empty());
        assert!(reply.text.starts_with("Error: the picture cannot be shown"), "{}", reply.text);
    }
}

#[test]
fn fewer_results_than_calls_are_refused() {
    struct Silent(Vec<String>);
    impl Partner for Silent {
        fn tools(&self) -> &[String] {
            &self.0
        }
        fn max_calls(&self) -> usize {
            1
        }
        fn question(&self, _: usize) -> Option<String> {
            None
        }
        fn answer(&mut self, _: &[Call]) -> Result<Vec<Answer>, RolloutError> {
            Ok(vec![])
        }
    }
    let error = Setup::starter().try_sample(&mut Silent(vec!["think".into()]), 40, 64);
    let error = error.expect_err("no results").to_string();
    assert!(error.starts_with("tool \"think\": 0 results for"), "{error}");
}
