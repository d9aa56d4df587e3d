//! What became of the frames, counted.

/// Why a frame was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The frame came sooner than the rate limit allows and was not decoded.
    Rate,
    /// The frame is no picture.
    Undecodable,
    /// Too dark or too bright.
    Exposure,
    /// The frame is too blurred.
    Blur,
    /// The frame looks like one of the frames before.
    Familiar,
    /// The frame looks like one that was set aside for evaluation.
    HeldOutTwin,
    /// The frame was set aside for evaluation, and its boxes can come no more.
    Unlabelled,
    /// Nobody has said what is right about the frame, and people alone say that.
    Unanswered,
}

impl Reason {
    const ALL: [Reason; 8] = [
        Self::Rate,
        Self::Undecodable,
        Self::Exposure,
        Self::Blur,
        Self::Familiar,
        Self::HeldOutTwin,
        Self::Unlabelled,
        Self::Unanswered,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Undecodable => "undecodable",
            Self::Exposure => "exposure",
            Self::Blur => "blur",
            Self::Familiar => "familiar",
            Self::HeldOutTwin => "held_out_twin",
            Self::Unlabelled => "unlabelled",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Totals since the start. Every frame offered is in exactly one of kept, held out and dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Number of frames that arrived.
    pub offered: u64,
    /// Frames that may be asked about.
    pub kept: u64,
    /// Number of frames that were set aside.
    pub held_out: u64,
    /// Frames dropped, by reason.
    dropped: [u64; Reason::ALL.len()],
    /// Times that the resolution changed.
    pub resolution_changes: u64,
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: Reason) {
        self.dropped[reason as usize] += 1;
    }

    /// A frame that was dropped is judged anew.
    pub(crate) fn recall(&mut self, reason: Reason) {
        self.dropped[reason as usize] -= 1;
    }

    /// A frame that was set aside is dropped after all.
    pub(crate) fn let_go(&mut self, reason: Reason) {
        self.held_out -= 1;
        self.drop(reason);
    }

    /// Frames dropped for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// In words: how many came, and what became of them.
    pub fn summary(&self) -> String {
        let reasons = Reason::ALL.iter().map(|reason| (reason.name(), self.dropped(*reason)));
        let reasons: Vec<String> = reasons
            .filter(|(_, n)| *n > 0)
            .map(|(name, n)| format!("{n} {}", name.replace('_', " ")))
            .collect();
        let dropped = if reasons.is_empty() {
            "none dropped".to_owned()
        } else {
            format!("dropped: {}", reasons.join(", "))
        };
        let Self { offered, kept, held_out, .. } = self;
        format!("{offered} frames came, {kept} kept, {held_out} set aside, {dropped}")
    }

    /// All of them by name, for the plots.
    pub fn named(&self) -> Vec<(String, u64)> {
        let mut named = vec![
            ("stream/offered".to_owned(), self.offered),
            ("stream/kept".to_owned(), self.kept),
            ("stream/held_out".to_owned(), self.held_out),
            ("stream/resolution_changes".to_owned(), self.resolution_changes),
        ];
        for reason in Reason::ALL {
            named.push((format!("stream/dropped/{}", reason.name()), self.dropped(reason)));
        }
        named
    }
}
