//! Who works on what: the pool's bookkeeping, free of messages and clocks.
//!
//! The prompts of a batch are cut into units, and a unit goes to whichever rollout is free first. What is sampled
//! together is rounded together, so a unit always holds the same prompts and travels as one message: then the
//! completions, and with them the weights, do not depend on who answers it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use eyre::{ensure, eyre};
use tracing::{debug, warn};
use vrft_messages::{CompletionBatch, CompletionRow, Prompt, PromptBatch};

/// Prompts on their way and the rollouts that answer them.
pub(crate) struct Pool {
    rollouts: BTreeMap<String, Rollout>,
    /// Rollouts with nothing to do, the one that is free for longest first.
    free: VecDeque<String>,
    /// Batches in the order they came.
    open: VecDeque<Batch>,
    /// Units that a batch is cut into.
    n_units: u64,
}

/// Prompts for one rollout.
#[derive(Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) rollout: String,
    pub(crate) batch: PromptBatch,
    /// Somebody else had these prompts before.
    pub(crate) again: bool,
}

/// A whole batch of groups, and who answered how many of its prompts.
pub(crate) struct Whole {
    pub(crate) groups: CompletionBatch,
    pub(crate) answered: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Rollout {
    /// The prompts that it works on, and since when.
    work: Option<(Vec<u64>, Instant)>,
    /// The rollout took too long: others got its unit, and it gets none before it has answered.
    is_late: bool,
}

/// The units of a batch of prompts.
struct Batch(Vec<Unit>);

struct Unit {
    prompts: Vec<Prompt>,
    /// The rollout from which the answer is expected; none while the unit waits for one.
    holder: Option<String>,
    /// How often it was given away.
    n_given: u32,
    /// The answer, and whose it is.
    answer: Option<(String, Vec<CompletionRow>)>,
}

impl Unit {
    fn ids(&self) -> Vec<u64> {
        self.prompts.iter().map(|prompt| prompt.prompt_id).collect()
    }

    fn waits(&self) -> bool {
        self.holder.is_none() && self.answer.is_none()
    }
}

impl Pool {
    /// Creates a pool of these rollouts; a batch is cut into `units_per_rollout` units for each.
    pub(crate) fn new(rollouts: &[String], units_per_rollout: usize) -> Self {
        let n_units = (rollouts.len() * units_per_rollout).max(1) as u64;
        let free = rollouts.iter().cloned().collect();
        let rollouts = rollouts.iter().map(|name| (name.clone(), Rollout::default()));
        Self { rollouts: rollouts.collect(), free, open: VecDeque::new(), n_units }
    }

    /// Whether a rollout is still there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.rollouts.contains_key(name)
    }

    /// Rollouts that are given work.
    pub(crate) fn n_active(&self) -> usize {
        self.rollouts.values().filter(|rollout| !rollout.is_late).count()
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes in a batch: the prompts with the same number modulo that of the units are one.
    pub(crate) fn add(&mut self, batch: PromptBatch) {
        let mut units: BTreeMap<u64, Vec<Prompt>> = BTreeMap::new();
        for prompt in batch.prompts {
            units.entry(prompt.prompt_id % self.n_units).or_default().push(prompt);
        }
        let unit = |prompts| Unit { prompts, holder: None, n_given: 0, answer: None };
        self.open.push_back(Batch(units.into_values().map(unit).collect()));
    }

    /// Gives units that wait to rollouts that are free, the oldest first.
    pub(crate) fn deal(&mut self, now: Instant) -> eyre::Result<Vec<Share>> {
        let mut shares = Vec::new();
        let units = self.open.iter_mut().flat_map(|batch| &mut batch.0);
        for unit in units.filter(|unit| unit.waits()) {
            ensure!(
                !self.rollouts.is_empty(),
                "no rollout is left to answer prompts {:?}; the run can be resumed",
                unit.ids()
            );
            let Some(name) = self.free.pop_front() else { break };
            if let Some(rollout) = self.rollouts.get_mut(&name) {
                rollout.work = Some((unit.ids(), now));
            }
            unit.holder = Some(name.clone());
            let again = unit.n_given > 0;
            unit.n_given += 1;
            let batch = PromptBatch { prompts: unit.prompts.clone() };
            shares.push(Share { rollout: name, batch, again });
        }
        Ok(shares)
    }

    /// Takes in the answer of a rollout to the unit that it works on.
    ///
    /// # Errors
    /// Groups of other prompts than those.
    pub(crate) fn take(&mut self, name: &str, batch: CompletionBatch) -> eyre::Result<()> {
        let Some(rollout) = self.rollouts.get_mut(name) else { return Ok(()) };
        let expected = rollout.work.take().map(|(ids, _)| ids).unwrap_or_default();
        let got: Vec<u64> = batch.groups().map(|group| group[0].prompt_id).collect();
        ensure!(
            got == expected,
            "rollout {name:?} answered prompts {got:?}, but it was sent {expected:?}"
        );
        if std::mem::take(&mut rollout.is_late) {
            warn!(rollout = name, "A rollout that lagged is back.");
        }
        self.free.push_back(name.to_owned());
        let mut units = self.open.iter_mut().flat_map(|batch| &mut batch.0);
        match units.find(|unit| unit.ids() == expected) {
            Some(unit) if unit.answer.is_none() => {
                unit.answer = Some((name.to_owned(), batch.completions));
            }
            _ => debug!(rollout = name, ?expected, "Answered late; another had done so."),
        }
        Ok(())
    }

    /// The next batch of groups in order, once all of its units are answered.
    pub(crate) fn next_whole(&mut self) -> Option<Whole> {
        self.open.front()?.0.iter().all(|unit| unit.answer.is_some()).then_some(())?;
        let units = self.open.pop_front()?.0;
        let mut groups: Vec<CompletionRow> = Vec::new();
        let mut answered = BTreeMap::new();
        for Unit { prompts, answer, .. } in units {
            let Some((name, rows)) = answer else { continue };
            *answered.entry(name).or_insert(0) += prompts.len();
            groups.extend(rows);
        }
        groups.sort_by_key(|row| (row.prompt_id, row.completion_idx));
        Some(Whole { groups: CompletionBatch { completions: groups }, answered })
    }

    /// A rollout is gone: its unit goes to another.
    pub(crate) fn lose(&mut self, name: &str, now: Instant) {
        self.rollouts.remove(name);
        self.free.retain(|free| free != name);
        self.release(name);
        if self.n_active() == 0 {
            // Better those that lag than none.
            for rollout in self.rollouts.values_mut() {
                rollout.is_late = false;
                rollout.work.iter_mut().for_each(|(_, since)| *since = now);
            }
        }
    }

    /// The first rollout that works on a unit for longer than this, with its prompts.
    pub(crate) fn overdue(&self, now: Instant, patience: Duration) -> Option<(String, Vec<u64>)> {
        let active = self.rollouts.iter().filter(|(_, rollout)| !rollout.is_late);
        let mut overdue = active.filter_map(|(name, rollout)| {
            let (ids, since) = rollout.work.as_ref()?;
            (now.duration_since(*since) >= patience).then(|| (name.clone(), ids.clone()))
        });
        overdue.next()
    }

    /// A rollout lags: its unit goes to another, and it gets no more for now. The last one is waited for.
    pub(crate) fn pass_over(&mut self, name: &str, now: Instant) -> eyre::Result<()> {
        let is_alone = self.n_active() == 1;
        let rollout = self.rollouts.get_mut(name);
        let rollout = rollout.ok_or_else(|| eyre!("there is no rollout {name:?}"))?;
        if is_alone {
            rollout.work.iter_mut().for_each(|(_, since)| *since = now);
        } else {
            rollout.is_late = true;
            self.release(name);
        }
        Ok(())
    }

    /// Since when the active rollout that works longest on a unit has done so.
    pub(crate) fn longest_work(&self) -> Option<Instant> {
        let active = self.rollouts.values().filter(|rollout| !rollout.is_late);
        active.filter_map(|rollout| rollout.work.as_ref().map(|(_, since)| *since)).min()
    }

    /// Lets the unit wait again that a rollout should answer.
    fn release(&mut self, name: &str) {
        let units = self.open.iter_mut().flat_map(|batch| &mut batch.0);
        for unit in units.filter(|unit| unit.holder.as_deref() == Some(name)) {
            unit.holder = None;
        }
    }
}
