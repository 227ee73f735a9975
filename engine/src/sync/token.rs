//! Tokens: a place in the order of all records, as clients carry it.
//!
//! Opaque and versioned. One form serves `/sync`, `/messages`, `/relations` and the rest, so that each accepts the
//! others'. A token never becomes invalid: what it points at may have expired, and then it stands before what is left.
//! The position of a sliding sync connection is a number and, after a dot, such a token: it serves the others as well (MSC4186).

use journal::{Seq, Stamp, Timestamp};

use crate::Reject;

/// A place between two records: everything before `position` is known to whoever carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The first place that is not known yet.
    pub position: Stamp,
    /// When the token was made: past L, the change index no longer reaches back to it.
    pub minted: Timestamp,
    /// The version of what is only in memory: typing and presence.
    pub ephemeral: u64,
    /// The last message to the device that has been delivered, while more were waiting than one answer holds.
    pub to_device: Option<Stamp>,
}

/// The only form there is so far.
const VERSION: &str = "s1";

impl Token {
    /// Just after everything in a view.
    #[must_use]
    pub const fn after(seq: Seq, minted: Timestamp, ephemeral: u64) -> Self {
        Self { position: Stamp::end_of(seq).next(), minted, ephemeral, to_device: None }
    }

    /// A place in a timeline.
    #[must_use]
    pub const fn at(position: Stamp, minted: Timestamp) -> Self {
        Self { position, minted, ephemeral: 0, to_device: None }
    }

    /// The last place that is known.
    #[must_use]
    pub const fn known(&self) -> Stamp {
        match self.position.index.checked_sub(1) {
            Some(index) => Stamp::new(self.position.seq, index),
            None => Stamp::end_of(self.position.seq.previous()),
        }
    }

    /// As clients carry it.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { position, minted, ephemeral, to_device } = self;
        let mut text =
            format!("{VERSION}_{:x}_{:x}_{:x}_{ephemeral:x}", position.seq.as_u64(), position.index, minted.as_ms());
        if let Some(delivered) = to_device {
            text.push_str(&format!("_{:x}_{:x}", delivered.seq.as_u64(), delivered.index));
        }
        text
    }

    /// As clients brought it back.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` for what no server of ours has ever made.
    pub fn decode(text: &str) -> Result<Self, Reject> {
        Self::parse(text).ok_or_else(|| Reject::invalid_param("this is not a token of this server: start without one"))
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.split_once('.').map_or(text, |(_, token)| token);
        let rest = text.strip_prefix(VERSION)?.strip_prefix('_')?;
        let numbers = rest.split('_').map(|part| u64::from_str_radix(part, 16).ok()).collect::<Option<Vec<_>>>()?;
        let stamp = |seq, index| Some(Stamp::new(Seq::from_u64(seq), u16::try_from(index).ok()?));
        let (position, minted, ephemeral, to_device) = match *numbers.as_slice() {
            [seq, index, minted, ephemeral] => (stamp(seq, index)?, minted, ephemeral, None),
            [seq, index, minted, ephemeral, to_seq, to_index] => {
                (stamp(seq, index)?, minted, ephemeral, Some(stamp(to_seq, to_index)?))
            }
            _ => return None,
        };
        Some(Self { position, minted: Timestamp::from_ms(minted), ephemeral, to_device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let after = Token::after(Seq::from_u64(7), Timestamp::from_ms(1_700_000_000_000), 3);
        let partial = Token { to_device: Some(Stamp::new(Seq::from_u64(5), 9)), ..after };
        for token in [after, partial, Token::at(Stamp::new(Seq::from_u64(4), 2), Timestamp::from_ms(0))] {
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
        assert_eq!(Token::decode(&format!("17.{}", after.encode())).unwrap(), after, "a position of sliding sync");
        assert_eq!(after.known(), Stamp::end_of(Seq::from_u64(7)));
        assert_eq!(Token::at(Stamp::new(Seq::from_u64(4), 2), after.minted).known(), Stamp::new(Seq::from_u64(4), 1));
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for text in
            ["", "s1", "s1_", "s1_1_2_3", "s2_1_0_0_0", "s1_1_10000_0_0", "s1_1_0_0_0_1", "s1_x_0_0_0", "s1_1_0_0_0_1_1_1"]
        {
            assert!(matches!(Token::decode(text), Err(Reject::InvalidParam(_))), "{text}");
        }
    }
}
