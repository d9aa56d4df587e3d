//! The answering node: questions about camera frames, answered by the policy in use while a newer one is learned.

mod conversation;
mod desk;
mod environment;
mod intake;
mod journal;
mod live;
mod ports;
mod remarks;
#[cfg(test)]
mod tests;

use eyre::{WrapErr, eyre};
use tracing::{info, warn};
use vrft_answer::{Answerer, Follow, Follower, Settings, Target, promoted};
use vrft_node::Node;
use vrft_weights::{Versions, WeightsConfig};

use crate::desk::Desk;
use crate::environment::Environment;
use crate::intake::Intake;
use crate::ports::PORTS;

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    vrft_kernels::keep_freed_memory();
    let document = vrft_node::load_document_if_named()?;
    let mut settings = Settings::read(&document)?;
    let weights: WeightsConfig = document.section()?;
    let environment = Environment::apply(&mut settings, |name| std::env::var(name).ok())?;
    if environment.names_checkpoint && settings.answer.follow == Follow::Promoted {
        // Who names a checkpoint, as in a graph of the hub, wants that one.
        settings.answer.follow = Follow::Nothing;
    }
    let answerer = Answerer::load(&settings, &first(&settings)?)?;
    let node = Node::join(&PORTS, &document)?;
    let intake = Intake::of(&node);
    let inputs = node.inputs();
    let has = |name: &str| inputs.iter().any(|(input, _)| input == name);
    settings.answer.check_inputs(has).map_err(|why| eyre!(why))?;
    let follower = follow(&node, &settings, &weights, &answerer)?;
    info!(version = answerer.version(), "Ready to answer.");
    // Tells the answers of this process from those of another, which may have started in the same moment.
    let at_millis = (vrft_node::unix_secs() * 1e3) as u64;
    let prefix = format!("{at_millis:x}.{:x}", std::process::id());
    let desk = Desk::open(&node, answerer, follower, environment, prefix)?;
    run(node, intake, desk)
}

/// The version to begin with.
fn first(settings: &Settings) -> eyre::Result<Target> {
    if settings.answer.follow == Follow::Promoted
        && let Some(target) = promoted(&settings.answer.served)?
    {
        return Ok(target);
    }
    let name = settings.policy.path.display().to_string();
    let target = Target::find(&name, &settings.answer.served).wrap_err("policy.path")?;
    if let Some(choice) = &target.choice {
        info!("policy.path = {:?}: {choice}.", vrft_config::shown(&settings.policy.path));
    }
    if settings.answer.follow == Follow::Promoted {
        let served = vrft_config::shown(&settings.answer.served);
        info!(
            served,
            version = target.version,
            "Nothing was promoted yet: beginning with policy.path."
        );
    }
    Ok(target)
}

/// Where newer versions come from.
fn follow(
    node: &Node,
    settings: &Settings,
    weights: &WeightsConfig,
    in_use: &Answerer,
) -> eyre::Result<Option<Follower>> {
    Ok(match settings.answer.follow {
        Follow::Nothing => None,
        Follow::Promoted => {
            let settings = settings.clone();
            Some(Follower::promoted(in_use, Box::new(move |_target| Ok(settings.clone()))))
        }
        Follow::Learner => {
            warn!(
                "Following the learner: every version is used as it comes, whether it is better or not \
                 (answer.follow = \"promoted\" uses only what was found no worse on held-out data)."
            );
            let folder = node.run_dir().join("pulled").join(node.id());
            Some(Follower::learner(Versions::new(weights, &node.run_name(), &folder)))
        }
    })
}

/// Takes in what came, swaps in a newer version if one is ready, answers what is due; over and over.
fn run(mut node: Node, mut intake: Intake, mut desk: Desk) -> eyre::Result<()> {
    while intake.take(&mut node, &mut desk)? {
        desk.swap(&mut node)?;
        if let Some(asked) = intake.due(&desk) {
            desk.answer(&mut node, &intake, &asked)?;
        }
        desk.report(&mut node, intake.n_frames)?;
    }
    desk.close(&mut node, intake.n_frames)?;
    node.finish()
}
