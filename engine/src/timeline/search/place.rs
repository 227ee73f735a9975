//! Where a page of results ends, as clients carry it to the next one.

use journal::{Name, Seq, Stamp};
use serde::{Deserialize, Serialize};

use super::Found;
use crate::{Cx, Reject};

/// A result's place in the order of all: by rank if that was asked for, then the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The bits of the rank, which order as the ranks do, for they are never negative; 0 where it doesn't count.
    rank: u64,
    pub stamp: Stamp,
}

/// By what results are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GroupKey {
    /// The room.
    RoomId,
    /// The sender.
    Sender,
}

/// One group. Its room or sender is only a hash: a token is part of an address, and those are logged by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub key: GroupKey,
    pub name: Name,
}

/// After which result a page begins, and of which group it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub place: Place,
    pub group: Option<Group>,
}

/// The only form there is so far.
const VERSION: &str = "q1";

impl Place {
    pub fn new(rank: Option<f64>, stamp: Stamp) -> Self {
        Self { rank: rank.map_or(0, f64::to_bits), stamp }
    }
}

impl GroupKey {
    /// What the result's group is called.
    pub fn of(self, found: &Found) -> &str {
        match self {
            Self::RoomId => found.hit.room_id.as_str(),
            Self::Sender => found.sender.as_str(),
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::RoomId => "r",
            Self::Sender => "s",
        }
    }
}

impl Position {
    /// Whether the result is on a page that begins here, or on one after it.
    pub fn precedes(&self, cx: &Cx<'_>, found: &Found) -> bool {
        found.hit.place < self.place && self.group.is_none_or(|group| cx.name(group.key.of(found)) == group.name)
    }

    /// As clients carry it.
    pub fn encode(&self) -> String {
        let Place { rank, stamp } = self.place;
        let mut text = format!("{VERSION}_{rank:x}_{:x}_{:x}", stamp.seq.as_u64(), stamp.index);
        if let Some(Group { key, name }) = self.group {
            let name = u128::from_be_bytes(*name.as_bytes());
            text.push_str(&format!("_{}_{name:x}", key.letter()));
        }
        text
    }

    /// As clients brought it back.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` for what no server of ours has ever made.
    pub fn decode(text: &str) -> Result<Self, Reject> {
        Self::parse(text).ok_or_else(|| Reject::invalid_param("this is not a next_batch of a search: start without one"))
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('_').collect();
        let ([VERSION, rank, seq, index], rest) = parts.split_first_chunk::<4>()? else { return None };
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let stamp = Stamp::new(Seq::from_u64(number(seq)?), u16::from_str_radix(index, 16).ok()?);
        let group = match rest {
            [] => None,
            [letter, name] => {
                let key = [GroupKey::RoomId, GroupKey::Sender].into_iter().find(|key| key.letter() == *letter)?;
                let name = u128::from_str_radix(name, 16).ok()?;
                Some(Group { key, name: Name::from_bytes(name.to_be_bytes()) })
            }
            _ => return None,
        };
        Some(Self { place: Place { rank: number(rank)?, stamp }, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_went() {
        let place = Place::new(Some(0.25), Stamp::new(Seq::from_u64(70), 3));
        let group =
            Group { key: GroupKey::Sender, name: Name::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) };
        for position in [Position { place, group: None }, Position { place, group: Some(group) }] {
            assert_eq!(Position::decode(&position.encode()).unwrap(), position);
        }
        for text in
            ["", "q1", "q1_1_2", "q2_1_2_3", "q1_1_2_10000", "q1_1_2_3_r", "q1_1_2_3_x_1", "q1_1_2_3_r_1_1", "s1_1_2_3"]
        {
            assert!(matches!(Position::decode(text), Err(Reject::InvalidParam(_))), "{text}");
        }
    }
}
