//! Who owes which groups: the pool's bookkeeping, free of messages and clocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use eyre::{ensure, eyre};
use tracing::{debug, warn};
use vrft_messages::{Completion, CompletionBatch, Prompt, PromptBatch};

/// Prompts on their way and the rollouts that answer them.
pub(crate) struct Pool {
    rollouts: BTreeMap<String, Rollout>,
    /// Batches in the order they came.
    open: VecDeque<Batch>,
    /// Rollouts that the run began with.
    n_units: u64,
}

/// A part of the prompts for one rollout.
#[derive(Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) rollout: String,
    pub(crate) batch: PromptBatch,
    /// Somebody else had these prompts before.
    pub(crate) again: bool,
}

#[derive(Default)]
struct Rollout {
    /// Prompts it was sent and has not answered, with the moment they were sent.
    owes: BTreeMap<u64, Instant>,
    /// It took too long: it gets no prompts until it has answered all it was sent.
    late: bool,
}

/// A batch of prompts and the groups that came for it.
struct Batch {
    prompts: BTreeMap<u64, Prompt>,
    groups: BTreeMap<u64, Vec<Completion>>,
}

impl Pool {
    pub(crate) fn new(rollouts: &[String]) -> Self {
        let n_units = rollouts.len().max(1) as u64;
        let rollouts = rollouts.iter().map(|name| (name.clone(), Rollout::default()));
        Self { rollouts: rollouts.collect(), open: VecDeque::new(), n_units }
    }

    /// Rollouts that are still there.
    pub(crate) fn present(&self) -> impl Iterator<Item = &str> {
        self.rollouts.keys().map(String::as_str)
    }

    pub(crate) fn n_in_turn(&self) -> usize {
        self.rollouts.values().filter(|rollout| !rollout.late).count()
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes in a batch and shares it out.
    pub(crate) fn share_out(
        &mut self,
        batch: PromptBatch,
        now: Instant,
    ) -> eyre::Result<Vec<Share>> {
        let prompts: BTreeMap<u64, Prompt> =
            batch.prompts.into_iter().map(|prompt| (prompt.prompt_id, prompt)).collect();
        let ids: Vec<u64> = prompts.keys().copied().collect();
        self.open.push_back(Batch { prompts, groups: BTreeMap::new() });
        self.assign(&ids, now, false)
    }

    /// Cuts prompts into units and gives each to a rollout in turn.
    ///
    /// A unit is the prompts of one batch with the same number modulo the rollouts the run began with. It travels as
    /// one message, whoever answers it: what is sampled together is rounded together, so that the weights do not
    /// depend on who died or lagged.
    fn assign(&mut self, ids: &[u64], now: Instant, again: bool) -> eyre::Result<Vec<Share>> {
        let in_turn: Vec<String> = self.in_turn().map(str::to_owned).collect();
        ensure!(
            !in_turn.is_empty() || ids.is_empty(),
            "no rollout is left to answer prompts {ids:?}; the run can be resumed"
        );
        let mut units: BTreeMap<(usize, u64), Vec<Prompt>> = BTreeMap::new();
        for id in ids {
            let found = self.open.iter().enumerate();
            let mut found = found.filter_map(|(nth, batch)| Some((nth, batch.prompts.get(id)?)));
            let (nth, prompt) =
                found.next().ok_or_else(|| eyre!("prompt {id} is not under way"))?;
            units.entry((nth, *id % self.n_units)).or_default().push(prompt.clone());
        }
        let mut shares = Vec::with_capacity(units.len());
        for ((_, unit), prompts) in units {
            let name = &in_turn[unit as usize % in_turn.len()];
            if let Some(rollout) = self.rollouts.get_mut(name) {
                rollout.owes.extend(prompts.iter().map(|prompt| (prompt.prompt_id, now)));
            }
            shares.push(Share { rollout: name.clone(), batch: PromptBatch { prompts }, again });
        }
        Ok(shares)
    }

    fn in_turn(&self) -> impl Iterator<Item = &str> {
        self.rollouts.iter().filter(|(_, rollout)| !rollout.late).map(|(name, _)| name.as_str())
    }

    /// Takes in groups of a rollout.
    ///
    /// # Errors
    /// A group for a prompt that it was not sent.
    pub(crate) fn take(&mut self, name: &str, batch: CompletionBatch) -> eyre::Result<()> {
        for group in batch.groups() {
            let id = group[0].prompt_id;
            let Some(rollout) = self.rollouts.get_mut(name) else { return Ok(()) };
            ensure!(
                rollout.owes.remove(&id).is_some(),
                "rollout {name:?} answered prompt {id}, which it was not sent or has answered already"
            );
            if rollout.late && rollout.owes.is_empty() {
                warn!(rollout = name, "A rollout that lagged is back.");
                rollout.late = false;
            }
            let open = self.open.iter_mut().find(|batch| batch.prompts.contains_key(&id));
            match open.map(|batch| batch.groups.entry(id)) {
                Some(std::collections::btree_map::Entry::Vacant(empty)) => {
                    empty.insert(group.to_vec());
                }
                _ => debug!(rollout = name, prompt = id, "Answered late; another had done so."),
            }
        }
        Ok(())
    }

    /// The next batch of groups in order, once it is whole.
    pub(crate) fn next_whole(&mut self) -> Option<CompletionBatch> {
        let first = self.open.front()?;
        if first.groups.len() < first.prompts.len() {
            return None;
        }
        let batch = self.open.pop_front()?;
        Some(CompletionBatch { completions: batch.groups.into_values().flatten().collect() })
    }

    /// A rollout is gone: its prompts go to the others.
    pub(crate) fn lose(&mut self, name: &str, now: Instant) -> eyre::Result<Vec<Share>> {
        let Some(gone) = self.rollouts.remove(name) else { return Ok(vec![]) };
        let unanswered = self.unanswered(gone.owes.into_keys());
        self.assign(&unanswered, now, true)
    }

    /// The first rollout in turn that owes groups for longer than this, with the prompts.
    pub(crate) fn overdue(&self, now: Instant, patience: Duration) -> Option<(String, Vec<u64>)> {
        let late = |since: &Instant| now.duration_since(*since) >= patience;
        self.rollouts
            .iter()
            .filter(|(_, rollout)| !rollout.late && rollout.owes.values().any(late))
            .map(|(name, rollout)| (name.clone(), rollout.owes.keys().copied().collect()))
            .next()
    }

    /// A rollout lags: its prompts go to the others, and so do the next. With no other in turn it is waited for.
    pub(crate) fn pass_over(&mut self, name: &str, now: Instant) -> eyre::Result<Vec<Share>> {
        let alone = self.n_in_turn() == 1;
        let Some(rollout) = self.rollouts.get_mut(name) else { return Ok(vec![]) };
        if alone {
            rollout.owes.values_mut().for_each(|since| *since = now);
            return Ok(vec![]);
        }
        rollout.late = true;
        let owed: Vec<u64> = rollout.owes.keys().copied().collect();
        let unanswered = self.unanswered(owed.into_iter());
        self.assign(&unanswered, now, true)
    }

    /// Since when the longest waiting rollout in turn owes something.
    pub(crate) fn oldest_debt(&self) -> Option<Instant> {
        let in_turn = self.rollouts.values().filter(|rollout| !rollout.late);
        in_turn.flat_map(|rollout| rollout.owes.values().copied()).min()
    }

    /// Those prompts that nobody has answered and nobody else in turn owes.
    fn unanswered(&self, ids: impl Iterator<Item = u64>) -> Vec<u64> {
        let owed: BTreeSet<u64> = self
            .rollouts
            .values()
            .filter(|rollout| !rollout.late)
            .flat_map(|rollout| rollout.owes.keys().copied())
            .collect();
        let is_open = |id: &u64| {
            self.open
                .iter()
                .any(|batch| batch.prompts.contains_key(id) && !batch.groups.contains_key(id))
        };
        ids.filter(|id| is_open(id) && !owed.contains(id)).collect()
    }
}
