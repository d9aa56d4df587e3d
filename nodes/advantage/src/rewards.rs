//! Rewards from one node or several: each may judge in its own way, and their terms add up.

use eyre::WrapErr;
use vrft_messages::RewardBatch;
use vrft_node::Node;

use crate::ports::REWARDS;

/// One step's rewards, with one batch of every input added up; `None` when the run is over.
pub(crate) fn receive(node: &mut Node) -> eyre::Result<Option<RewardBatch>> {
    let mut sum: Option<RewardBatch> = None;
    for input in node.others(&REWARDS) {
        let Some(batch) = node.recv(&input)? else { return Ok(None) };
        match &mut sum {
            None => sum = Some(batch),
            Some(sum) => {
                sum.merge(batch).wrap_err_with(|| format!("input {:?}", input.name()))?;
            }
        }
    }
    Ok(sum)
}
