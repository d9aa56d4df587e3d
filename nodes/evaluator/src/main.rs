//! The evaluator: what each policy does on held-out images, greedily decoded.

mod records;

use evaluate::Judge;
use eyre::WrapErr;
use messages::Checkpoint;
use node::Node;
use tracing::info;

use crate::records::Records;

/// Label of the policy that every learner starts from.
const BASE: &str = "base";

fn main() -> std::process::ExitCode {
    node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = node::load_config()?;
    let judge = Judge::load(&config)?;
    run(Node::join(&config)?, &judge)
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
        let judgement = node.timed(step, "evaluator", |_| {
            let judged = judge.evaluate(checkpoint.location.as_ref());
            judged.wrap_err_with(|| format!("cannot evaluate {:?}", checkpoint.location))
        })?;
        for (name, value) in &judgement.evaluation.metrics {
            node.metric(step, format!("eval/{label}/{name}"), *value);
        }
        node.send_metrics()?;
        info!(label, step, samples = judgement.predictions.len(), "Evaluated.");
        records.write(label, step, &judgement, judge.test())?;
        records::remove_candidate(node.run_dir(), checkpoint.location.as_ref())?;
    }
    node.finish()
}
