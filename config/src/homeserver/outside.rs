//! What the server tells strangers of its operator, which services beside it it names, and what it fetches for its users.

use serde::{Deserialize, Serialize};

use crate::network::Network;

/// `[previews]`: of web pages that people link to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previews {
    /// Whether the server fetches pages for them.
    pub enabled: bool,
    /// Networks that it may fetch from although they are private.
    pub allow: Vec<Network>,
}

/// `[contact]`: who answers for the server (`/.well-known/matrix/support`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// A page for people who need help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_page: Option<String>,
    /// The operator's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_email: Option<String>,
    /// The operator's Matrix id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_matrix_id: Option<String>,
    /// Where to report what endangers the server: an e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_email: Option<String>,
    /// The same, a Matrix id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_matrix_id: Option<String>,
}

/// `[calls]`: services beside the server through which several people call each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// The address of a LiveKit authorization service (MSC4195).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub livekit_service_url: Option<String>,
}
