//! The records of a newcomer's crypto identity: written with the user, before anybody can invite them (B2).

use ruma::UserId;
use serde_json::value::RawValue;

use crate::{
    Draft, Stop,
    account::{NewAccountData, put_account_data},
    keys::{self, Identity},
};

/// What the provisioner made: public keys, and private ones that only the recovery key opens.
#[derive(Clone, Debug)]
pub struct NewcomerRecords {
    /// Cross-signing keys and the dehydrated device.
    pub identity: Identity,
    /// Secret storage: account data types with their contents.
    pub account_data: Vec<(String, Box<RawValue>)>,
}

/// Drafts all of it.
pub(super) fn write(draft: &mut Draft<'_>, user_id: &UserId, records: &NewcomerRecords) -> Result<(), Stop> {
    keys::write_identity(draft, user_id, &records.identity)?;
    for (event_type, content) in &records.account_data {
        let data = NewAccountData {
            user_id: user_id.to_owned(),
            room_id: None,
            event_type: event_type.clone(),
            content: content.clone(),
        };
        put_account_data(draft, &data);
    }
    Ok(())
}
