//! The evaluator: what each policy does on held-out images, greedily decoded.

mod judge;
mod records;

use config::Config;
use dataset::Dataset;
use eyre::WrapErr;
use messages::Checkpoint;
use node::Node;
use tracing::info;

use crate::judge::Judge;
use crate::records::Records;

/// Label of the policy that every learner starts from.
const BASE: &str = "base";

fn main() -> eyre::Result<()> {
    let config = node::load_config()?;
    let test = open(&config)?;
    let judge = Judge::load(&config, test)?;
    run(Node::join(&config)?, &judge)
}

/// The held-out rows; bad ones are skipped within the limit that also holds for training data.
fn open(config: &Config) -> eyre::Result<Dataset> {
    let reward = reward::Reward::new(&config.reward);
    let check = |sample: &dataset::Sample| {
        reward.parse_answer(&sample.solution).map(drop).map_err(|error| error.to_string())
    };
    let test = Dataset::open(&config.evaluation.test).and_then(|test| {
        test.retain_valid(check, config.data.max_bad_fraction)
    });
    test.wrap_err("evaluation.test")
}

/// Evaluates every checkpoint that is offered. An input's name is the label of its policy.
fn run(mut node: Node, judge: &Judge) -> eyre::Result<()> {
    let inputs = node.inputs();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let mut records = Records::open(node.run_dir())?;
    while let Some((input, checkpoint)) = node.recv_any::<Checkpoint>(&inputs)? {
        let label = if checkpoint.version == 0 { BASE } else { input.as_str() };
        // Every learner offers the policy it starts from, and they all start from the same.
        if records.has(label, checkpoint.version) {
            continue;
        }
        let step = checkpoint.version;
        let evaluation = node
            .timed(step, "evaluator", |_| judge.evaluate(checkpoint.location.as_ref()))
            .wrap_err_with(|| format!("cannot evaluate {:?}", checkpoint.location))?;
        for (name, value) in &evaluation.metrics {
            node.metric(step, format!("eval/{label}/{name}"), *value);
        }
        node.send_metrics()?;
        info!(label, step, samples = evaluation.predictions.len(), "Evaluated.");
        records.write(label, step, &evaluation, judge.test())?;
        records::remove_candidate(node.run_dir(), checkpoint.location.as_ref())?;
    }
    node.finish()
}
