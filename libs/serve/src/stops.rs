//! Texts at which a client wants an answer to end. They end it as the run's own do, but are no part of what the client gets.

/// The `stop` texts of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stops(pub(crate) Vec<String>);

impl Stops {
    /// What comes before the first of them.
    pub(crate) fn cut<'a>(&self, text: &'a str) -> &'a str {
        let first = self.0.iter().filter_map(|stop| text.find(stop.as_str())).min();
        &text[..first.unwrap_or(text.len())]
    }

    /// The part of an answer that is still growing which will be in the whole one too: an end that may be the beginning of
    /// a stop is held back, and so is a character whose bytes are not all there yet.
    pub(crate) fn settled<'a>(&self, text: &'a str) -> &'a str {
        let whole = text.trim_end_matches('\u{fffd}');
        let before = self.cut(whole);
        if before.len() < whole.len() {
            return before;
        }
        let may_begin = |at: usize| self.0.iter().any(|stop| stop.starts_with(&whole[at..]));
        let held = whole.char_indices().map(|(at, _)| at).rev();
        let longest = self.0.iter().map(String::len).max().unwrap_or(0);
        let held = held.take_while(|at| whole.len() - at < longest).filter(|at| may_begin(*at));
        &whole[..held.min().unwrap_or(whole.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(texts: &[&str]) -> Stops {
        Stops(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn what_comes_before_the_first_stop_is_the_answer() {
        assert_eq!(stops(&["END", "two"]).cut("one two END"), "one ");
        assert_eq!(stops(&["END"]).cut("one"), "one");
        assert_eq!(stops(&[]).cut("one"), "one");
    }

    #[test]
    fn the_beginning_of_a_stop_is_held_back_until_it_is_none() {
        let stops = stops(&["</box>", "\n\n"]);
        let settled = |text| stops.settled(text);
        assert_eq!(settled("a cup <"), "a cup ");
        assert_eq!(settled("a cup </bo"), "a cup ");
        assert_eq!(settled("a cup </book"), "a cup </book");
        assert_eq!(settled("a cup</box> and"), "a cup");
        assert_eq!(settled("one\n"), "one");
        assert_eq!(settled("one\ntwo"), "one\ntwo");
        assert_eq!(settled("caf\u{fffd}"), "caf");
    }

    #[test]
    fn pieces_of_a_stream_are_what_the_whole_answer_is() {
        let stops = stops(&["aab", "ü!"]);
        for answer in ["xaaaab", "aaxaay", "grün ü? ü!", "aa", ""] {
            let (mut sent, ends) = (String::new(), answer.char_indices().map(|(at, _)| at));
            for end in ends.chain([answer.len()]) {
                let settled = stops.settled(&answer[..end]);
                assert!(settled.starts_with(&sent), "{settled:?} after {sent:?}");
                sent = settled.to_owned();
            }
            assert!(stops.cut(answer).starts_with(&sent), "{answer:?}");
        }
    }
}
