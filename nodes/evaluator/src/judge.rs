//! Loads a policy, lets it answer the held-out questions, measures the answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use config::Config;
use dataset::{Dataset, Sample};
use evaluate::Evaluator;
use eyre::WrapErr;
use policy::{EncodedPrompt, LoadOptions, Policy, Processor};
use reward::{Answer, Reward};
use rollout::Sampling;

/// Held-out questions and how to judge answers to them.
pub(crate) struct Judge {
    config: Config,
    test: Dataset,
    prompts: Vec<EncodedPrompt>,
    answers: Vec<Answer>,
    processor: Processor,
}

/// What a policy did.
pub(crate) struct Evaluation {
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) secs: f64,
}

/// One answer to one held-out question.
pub(crate) struct Prediction {
    pub(crate) completion: String,
    pub(crate) answer: Answer,
}

impl Judge {
    pub(crate) fn load(config: &Config, test: Dataset) -> eyre::Result<Self> {
        let processor = Processor::load(&config.policy.path)?;
        let reward = Reward::new(&config.reward);
        let n = match config.evaluation.limit {
            0 => test.len(),
            limit => limit.min(test.len()),
        };
        let system = Some(config.policy.system.as_str()).filter(|system| !system.is_empty());
        let encode = |sample: &Sample| {
            let images: Vec<&[u8]> = sample.images.iter().map(Vec::as_slice).collect();
            processor
                .encode(system, &sample.problem, &images)
                .wrap_err_with(|| format!("held-out sample {:?}", sample.sample_id))
        };
        let prompts = (0..n).map(|idx| encode(test.get(idx))).collect::<eyre::Result<_>>()?;
        let answers = (0..n).map(|idx| reward.parse_answer(&test.get(idx).solution));
        let answers = answers.collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), test, prompts, answers, processor })
    }

    pub(crate) fn test(&self) -> &Dataset {
        &self.test
    }

    /// Greedy answers of the policy in this folder, and their metrics.
    pub(crate) fn evaluate(&self, folder: &Path) -> eyre::Result<Evaluation> {
        let start = Instant::now();
        let options = LoadOptions::new(&self.config.policy, Device::Cpu, false);
        let policy = Policy::load(folder, &options)?;
        let completions = self.answer(&policy)?;
        let mut evaluator = Evaluator::new(&self.config.reward);
        let predictions = completions.into_iter().zip(&self.answers).map(|(completion, answer)| {
            evaluator.add(&completion, answer);
            Prediction { completion, answer: answer.clone() }
        });
        let predictions = predictions.collect();
        let metrics = evaluator.finish().metrics;
        Ok(Evaluation { metrics, predictions, secs: start.elapsed().as_secs_f64() })
    }

    fn answer(&self, policy: &Policy) -> eyre::Result<Vec<String>> {
        let rollout = &self.config.rollout;
        let sampling = Sampling::greedy(rollout.max_completion_tokens, rollout.stop.clone());
        let mut texts = Vec::with_capacity(self.prompts.len());
        for batch in self.prompts.chunks(self.config.evaluation.batch_size) {
            let batch: Vec<&EncodedPrompt> = batch.iter().collect();
            let seed = |_, _| 0;
            let groups = rollout::generate(policy, &self.processor, &batch, 1, &sampling, &seed)?;
            texts.extend(groups.into_iter().flatten().map(|completion| completion.text));
        }
        Ok(texts)
    }
}
