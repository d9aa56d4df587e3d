//! One completion held against one truth: everything the terms look at, computed once.

use crate::config::{From, Reader, RewardConfig};

use crate::extract::{answer_text, extract_anywhere};
use crate::item::unit;
use crate::matching::{match_items, without_repeats};
use crate::strict::read_strictly;
use crate::tolerant::read_answer;
use crate::{Answer, Attempt, Item, Match, Truth, official};

pub(crate) struct Case<'a> {
    pub(crate) config: &'a RewardConfig,
    pub(crate) attempt: &'a Attempt<'a>,
    pub(crate) truth: &'a Truth,
    /// What the completion says; `None` if it cannot be read.
    pub(crate) reading: Option<Answer>,
    /// One for each valid predicted item.
    pub(crate) matches: Vec<Match>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(config: &'a RewardConfig, attempt: &'a Attempt, truth: &'a Truth) -> Self {
        let mut reading = read(config, attempt.text);
        if let Some(Answer::Items(items)) = &mut reading {
            without_repeats(&mut items.valid, &config.matching);
        }
        let predicted = reading.as_ref().map_or(&[][..], Answer::items);
        let unit = unit(config.answer.space);
        let matches = match_items(predicted, truth.answer.items(), &config.matching, unit);
        Self { config, attempt, truth, reading, matches }
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
    pub(crate) fn settled(&self) -> Option<f64> {
        let nothing = self.truth.answer == Answer::Nothing;
        match &self.reading {
            None => Some(0.0),
            Some(Answer::Nothing) if nothing && self.config.answer.nothing_pays => Some(1.0),
            Some(Answer::Nothing) => Some(0.0),
            // The official program fails on a truth without boxes.
            Some(_) if nothing && self.config.answer.reader == Reader::Official => Some(0.0),
            Some(_) => None,
        }
    }
}

/// What a completion says, as the task wants it read.
pub(crate) fn read(config: &RewardConfig, completion: &str) -> Option<Answer> {
    let answer = &config.answer;
    if answer.reader == Reader::Official {
        return official::read(completion, answer);
    }
    let text = match answer.from {
        From::AfterThink => answer_text(completion)?,
        From::Anywhere => extract_anywhere(completion),
    };
    match answer.reader {
        Reader::Strict => read_strictly(text, answer),
        _ => read_answer(text, answer),
    }
}
