//! One completion held against one truth: everything the terms look at, computed once.

use std::collections::BTreeMap;

use crate::config::{Reader, RewardConfig};
use crate::matching::{match_items, without_repeats};
use crate::reading::read_completion;
use crate::{Answer, Attempt, Item, Match, Truth};

pub(crate) struct Case<'a> {
    pub(crate) config: &'a RewardConfig,
    pub(crate) attempt: &'a Attempt<'a>,
    pub(crate) truth: &'a Truth,
    /// What the completion says; `None` if it cannot be read.
    pub(crate) reading: Option<Answer>,
    /// One for each valid predicted item.
    pub(crate) matches: Vec<Match>,
    /// The terms that are known already, by name.
    pub(crate) values: BTreeMap<&'a str, f64>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(config: &'a RewardConfig, attempt: &'a Attempt, truth: &'a Truth) -> Self {
        let mut reading = read_completion(attempt.text, &config.answer);
        if let Some(Answer::Items(items)) = &mut reading {
            without_repeats(&mut items.valid, &config.matching);
        }
        let predicted = reading.as_ref().map_or(&[][..], Answer::items);
        let unit = config.answer.space().map_or(1.0, |space| space.unit());
        let matches = match_items(predicted, truth.answer.items(), &config.matching, unit);
        Self { config, attempt, truth, reading, matches, values: BTreeMap::new() }
    }

    /// Predicted items that are valid.
    pub(crate) fn predicted(&self) -> &[Item] {
        self.reading.as_ref().map_or(&[][..], Answer::items)
    }

    /// Predicted items, valid or not.
    pub(crate) fn n_predicted(&self) -> usize {
        self.reading.as_ref().map_or(0, Answer::n_items)
    }

    pub(crate) fn true_items(&self) -> &[Item] {
        self.truth.answer.items()
    }

    /// Each pair: predicted item, true item, likeness.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Item, &Item, f64)> {
        let with_match = self.predicted().iter().zip(&self.matches);
        with_match.filter_map(|(item, m)| Some((item, &self.true_items()[m.truth_idx?], m.iou)))
    }

    /// What a term is worth where there is nothing to be found, or where nothing is said to be there; `None` where
    /// there are items on both sides to compare.
    pub(crate) fn decided(&self) -> Option<f64> {
        let nothing = self.truth.answer == Answer::Nothing;
        match &self.reading {
            None => Some(0.0),
            Some(Answer::Nothing) if nothing && self.config.answer.nothing_pays => Some(1.0),
            Some(Answer::Nothing) => Some(0.0),
            // Visual-RFT's program fails on a truth without boxes.
            Some(_) if nothing && self.config.answer.reader == Reader::Official => Some(0.0),
            Some(_) => None,
        }
    }

    /// Whether so much of the training is done that the refined keys of the terms apply.
    pub(crate) fn is_refined(&self) -> bool {
        let from = self.config.refine_after;
        from < 1.0 && self.attempt.progress >= from
    }
}
