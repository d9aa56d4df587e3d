//! The evaluator: what each policy does on held-out images, greedily decoded.

mod best;
mod estimate;
mod forgetting;
mod ports;
mod records;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use eyre::{WrapErr, eyre};
use tracing::info;
use vrft_config::{ConfigError, Document};
use vrft_evaluate::{Judge, JudgeConfig, leading_measure};
use vrft_messages::Checkpoint;
use vrft_model::SharedWeights;
use vrft_node::Node;
use vrft_node::ports::Input;
use vrft_reward::config::RewardsConfig;
use vrft_stream::StreamConfig;

use crate::best::{Best, Rated};
use crate::ports::{CHECKPOINTS, HELD_OUT, PORTS};
use crate::records::Records;

/// Label of the policy that every learner starts from.
const BASE: &str = "base";

/// Label of the best answer that never looks: no policy, but what each should beat.
const CONSTANT: &str = "constant";

/// Judges policies.
#[derive(Parser)]
struct Arguments {
    /// Estimate what `policy.path` would earn from recorded answers of other policies, instead of letting it answer.
    #[arg(long)]
    estimate: bool,
    /// The smallest effective number of recorded answers, as a share of their number, that allows an estimate.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    min_effective: f64,
}

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    vrft_kernels::share_one_heap();
    let arguments = Arguments::parse();
    let document = vrft_node::load_document()?;
    if arguments.estimate {
        return estimate::start(&document, arguments.min_effective);
    }
    let config = Config::read(&document)?;
    let shared = Arc::<SharedWeights>::default();
    if config.is_live {
        let mut node = Node::join(&PORTS, &document)?;
        match held_out(&mut node, &config, &shared)? {
            Some(judge) => run(node, &config, &[(None, judge)], None)?,
            None => node.finish()?,
        }
    } else {
        let judges = judges(&config, &shared)?;
        let validation = validation(&config, &shared)?;
        run(Node::join(&PORTS, &document)?, &config, &judges, validation.as_ref())?;
    }
    shared.finish();
    Ok(())
}

/// What the node reads of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) judge: JudgeConfig,
    pub(crate) rewards: RewardsConfig,
    /// Whether questions come from a stream, so that those to be judged on arrive as a message.
    pub(crate) is_live: bool,
}

impl Config {
    pub(crate) fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            judge: JudgeConfig::read(document)?,
            rewards: RewardsConfig::read(document)?,
            is_live: document.optional::<StreamConfig>()?.is_some(),
        })
    }
}

/// Judges by task: of `evaluation.test` without a name, and of each source with held-out data of its own.
fn judges(
    config: &Config,
    shared: &Arc<SharedWeights>,
) -> eyre::Result<Vec<(Option<String>, Judge)>> {
    let own = Judge::load(&config.judge).wrap_err("evaluation.test")?;
    let mut judges = vec![(None, own.sharing(shared))];
    for source in &config.judge.data.sources {
        let Some(test) = &source.test else { continue };
        let mut of_task =
            JudgeConfig { reward: config.rewards.of(&source.task).clone(), ..config.judge.clone() };
        of_task.evaluation.test.clone_from(test);
        let judge = Judge::load(&of_task)
            .wrap_err_with(|| format!("data.sources.test of task {:?}", source.task))?;
        judges.push((Some(source.task.clone()), judge.sharing(shared)));
    }
    Ok(judges)
}

/// The judge that the best policy is chosen by, if there are rows of its own for that.
fn validation(config: &Config, shared: &Arc<SharedWeights>) -> eyre::Result<Option<Judge>> {
    let Some(rows) = &config.judge.evaluation.validation else { return Ok(None) };
    let mut config = config.judge.clone();
    config.evaluation = config.evaluation.to_choose(rows);
    let judge = Judge::load(&config).wrap_err("evaluation.validation")?;
    Ok(Some(judge.sharing(shared)))
}

/// Of a stream, what is judged on comes as a message, once there were frames to set aside.
fn held_out(
    node: &mut Node,
    config: &Config,
    shared: &Arc<SharedWeights>,
) -> eyre::Result<Option<Judge>> {
    let Some(batch) = node.recv(&HELD_OUT)? else { return Ok(None) };
    let samples = vrft_prompts::held_out_rows(batch).map_err(|why| eyre!(why))?;
    Ok(Some(Judge::of(&config.judge, samples)?.sharing(shared)))
}

/// Judges by task.
type Judges = [(Option<String>, Judge)];

/// Evaluates every checkpoint that is offered. An input's name is the label of its policy.
///
/// Where no learner offers any, the policy of the configuration is evaluated and that is all.
fn run(
    mut node: Node,
    config: &Config,
    judges: &Judges,
    validation: Option<&Judge>,
) -> eyre::Result<()> {
    let inputs = node.others(&CHECKPOINTS);
    for (task, _) in judges {
        let labels = inputs.iter().map(Input::name).chain([BASE, CONSTANT]);
        labels
            .map(|label| named(label, task.as_deref()))
            .try_for_each(|l| records::check_label(&l))?;
    }
    let mut records = Records::open(node.run_dir())?;
    let rows = if validation.is_some() { "evaluation.validation" } else { "evaluation.test" };
    let mut best = Best::open(node.run_dir(), rows);
    for (task, judge) in judges {
        note_constant(&mut node, &mut records, task.as_deref(), judge)?;
    }
    if inputs.is_empty() {
        let location = config.judge.policy.path.display().to_string();
        let start = Checkpoint { version: 0, location, last: true };
        evaluate_on_all(&mut node, &mut records, judges, &Offer::nobodys(&start))?;
    }
    while let Some((input, checkpoint)) = node.recv_any(&inputs)? {
        let learner = inputs.iter().find(|found| found.name() == input);
        let learner = learner.map(|input| node.sender(input));
        let offer = Offer { label: &input, learner: learner.as_deref(), checkpoint: &checkpoint };
        evaluate_on_all(&mut node, &mut records, judges, &offer)?;
        let worth = match validation {
            Some(judge) => validated(&mut records, judge, &offer)?,
            None => tested(&records, judges, &offer),
        };
        let rated = worth.filter(|_| checkpoint.version > 0);
        if let Some((measure, value, base)) = rated {
            let worth = (measure.as_str(), value);
            let step = checkpoint.version;
            let rated = Rated { label: &input, learner: learner.as_deref(), step, worth, base };
            best.offer(&rated, checkpoint.location.as_ref())?;
        }
        records::remove_candidate(node.run_dir(), checkpoint.location.as_ref())?;
    }
    node.finish()
}

/// A checkpoint to be judged.
struct Offer<'a> {
    /// The input that it came by.
    label: &'a str,
    /// The node that learned it.
    learner: Option<&'a str>,
    checkpoint: &'a Checkpoint,
}

impl<'a> Offer<'a> {
    /// The policy of the configuration, in a graph without a learner.
    fn nobodys(checkpoint: &'a Checkpoint) -> Self {
        Self { label: BASE, learner: None, checkpoint }
    }
}

/// A policy, or what stands for one, on the held-out data of one of several tasks.
fn named(label: &str, task: Option<&str>) -> String {
    task.map_or_else(|| label.to_owned(), |task| format!("{label}@{task}"))
}

/// Writes down what the best constant answer is worth, once a run.
fn note_constant(
    node: &mut Node,
    records: &mut Records,
    task: Option<&str>,
    judge: &Judge,
) -> eyre::Result<()> {
    let label = named(CONSTANT, task);
    if records.has(&label, 0) {
        return Ok(());
    }
    let Some(constant) = judge.constant() else { return Ok(()) };
    for (name, value) in &constant.evaluation.metrics {
        node.metric(0, format!("eval/{label}/{name}"), *value);
    }
    node.send_metrics()?;
    records.write(&label, None, 0, &constant, judge.test())
}

/// Evaluates one checkpoint on every split that has not seen it.
fn evaluate_on_all(
    node: &mut Node,
    records: &mut Records,
    judges: &Judges,
    offer: &Offer<'_>,
) -> eyre::Result<()> {
    let version = offer.checkpoint.version;
    for (task, judge) in judges {
        let named = |label: &str| named(label, task.as_deref());
        // Every learner offers the policy it starts from, and they all start from the same.
        let (label, learner) =
            if version == 0 { (BASE, None) } else { (offer.label, offer.learner) };
        let label = named(label);
        if records.has(&label, version) {
            continue;
        }
        // Of one task alone nothing can be forgotten for another.
        let base = (judges.len() > 1).then(|| named(BASE));
        let offer = Offer { label: &label, learner, ..*offer };
        evaluate(node, records, judge, &offer, base.as_deref())?;
        vrft_kernels::give_back_freed_memory();
    }
    Ok(())
}

/// The measure, what a checkpoint is worth by it and what the base is worth.
type Worth = (String, f64, Option<f64>);

/// On the rows that the best policy is chosen on.
fn validated(
    records: &mut Records,
    judge: &Judge,
    offer: &Offer<'_>,
) -> eyre::Result<Option<Worth>> {
    let version = offer.checkpoint.version;
    let label = if version == 0 { BASE } else { offer.label };
    if records.choice(label, version).is_none() {
        let location: &Path = offer.checkpoint.location.as_ref();
        let judged = judge.evaluate(location);
        let judged = judged.wrap_err_with(|| format!("cannot evaluate {location:?}"))?;
        if let Some(worth) = judged.leading() {
            records.write_choice(label, version, worth)?;
        }
        vrft_kernels::give_back_freed_memory();
    }
    let base = records.choice(BASE, 0).map(|(_, value)| value);
    Ok(records.choice(label, version).map(|(measure, value)| (measure, value, base)))
}

/// On the rows that are reported on, the mean over the tasks.
fn tested(records: &Records, judges: &Judges, offer: &Offer<'_>) -> Option<Worth> {
    let leading = |label: &str, version: u64| {
        let of_task = |(task, _): &(Option<String>, Judge)| {
            leading_measure(records.metrics(&named(label, task.as_deref()), version)?)
        };
        let measured: Vec<(&str, f64)> = judges.iter().filter_map(of_task).collect();
        let mean = measured.iter().map(|(_, value)| value).sum::<f64>() / measured.len() as f64;
        Some((measured.first()?.0.to_owned(), mean))
    };
    let (measure, value) = leading(offer.label, offer.checkpoint.version)?;
    Some((measure, value, leading(BASE, 0).map(|(_, value)| value)))
}

/// Evaluates one checkpoint on one split; with the label of a base also how much was forgotten since.
fn evaluate(
    node: &mut Node,
    records: &mut Records,
    judge: &Judge,
    offer: &Offer<'_>,
    base: Option<&str>,
) -> eyre::Result<()> {
    let label = offer.label;
    let location = &offer.checkpoint.location;
    let step = offer.checkpoint.version;
    let mut judgment = node.timed(step, "evaluator", |_| {
        let judged = judge.evaluate(location.as_ref());
        judged.wrap_err_with(|| format!("cannot evaluate {location:?}"))
    })?;
    let metrics = &mut judgment.evaluation.metrics;
    if let Some(forgotten) = base.and_then(|base| records.forgetting.of(label, base, metrics)) {
        metrics.insert("forgetting".to_owned(), forgotten);
    }
    for (name, value) in metrics.iter() {
        node.metric(step, format!("eval/{label}/{name}"), *value);
    }
    node.send_metrics()?;
    info!(label, step, samples = judgment.predictions.len(), "Evaluated.");
    records.write(label, offer.learner, step, &judgment, judge.test())
}
