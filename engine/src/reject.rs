//! The caller's errors, named after Matrix's error codes
//! ([spec v1.19, Client-Server API § Standard error response](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response)).
//!
//! No HTTP status here: `homeserver/src/http/error.rs` has the one table.

use std::borrow::Cow;

use journal::Timestamp;

/// A sentence for a person: what is wrong and what to do next. It never holds message content, tokens or keys.
pub type Message = Cow<'static, str>;

/// Why a request cannot be done as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// `M_FORBIDDEN`
    #[error("{0}")]
    Forbidden(Message),
    /// `M_NOT_FOUND`
    #[error("{0}")]
    NotFound(Message),
    /// `M_BAD_JSON`: valid JSON of the wrong form.
    #[error("{0}")]
    BadJson(Message),
    /// `M_INVALID_PARAM`
    #[error("{0}")]
    InvalidParam(Message),
    /// `M_MISSING_PARAM`
    #[error("{0}")]
    MissingParam(Message),
    /// `M_INVALID_SIGNATURE`: a signature does not hold, or one that is needed is missing.
    #[error("{0}")]
    InvalidSignature(Message),
    /// `M_UNKNOWN`: refused for a reason without a code of its own (400).
    #[error("{0}")]
    Unknown(Message),
    /// `M_UNKNOWN_TOKEN`; `soft_logout` tells the client to keep its keys.
    #[error("this access token is not valid (any more); log in again")]
    UnknownToken {
        /// The device still exists and the client may log in to it again.
        soft_logout: bool,
    },
    /// `M_UNKNOWN_DEVICE` (MSC4326): an application service asks for a device that the user does not have.
    #[error("this user has no such device; create it first")]
    UnknownDevice,
    /// `M_USER_IN_USE`
    #[error("this user name is taken; choose another")]
    UserInUse,
    /// `M_INVALID_USERNAME`
    #[error("{0}")]
    InvalidUsername(Message),
    /// `M_EXCLUSIVE`: the name is in an application service's exclusive namespace.
    #[error("{0}")]
    Exclusive(Message),
    /// `M_USER_DEACTIVATED`
    #[error("this account has been deactivated")]
    UserDeactivated,
    /// `M_USER_LOCKED`
    #[error("this account is locked")]
    UserLocked,
    /// `M_USER_SUSPENDED`
    #[error("this account is suspended: it can read, and leave rooms, and nothing else")]
    UserSuspended,
    /// `M_ROOM_IN_USE`
    #[error("{0}")]
    RoomInUse(Message),
    /// `M_INVALID_ROOM_STATE`
    #[error("{0}")]
    InvalidRoomState(Message),
    /// `M_BAD_STATE`
    #[error("{0}")]
    BadState(Message),
    /// `M_BAD_ALIAS`
    #[error("{0}")]
    BadAlias(Message),
    /// `M_UNSUPPORTED_ROOM_VERSION`
    #[error("room version {0} is not supported")]
    UnsupportedRoomVersion(String),
    /// `M_INCOMPATIBLE_ROOM_VERSION`
    #[error("this room is of version {room_version}, which the request does not support")]
    IncompatibleRoomVersion {
        /// The room's version.
        room_version: String,
    },
    /// `M_DUPLICATE_ANNOTATION`
    #[error("you have already reacted with this")]
    DuplicateAnnotation,
    /// `M_TOO_LARGE`
    #[error("{0}")]
    TooLarge(Message),
    /// `M_USER_LIMIT_EXCEEDED` (spec v1.18, MSC4335).
    #[error("{message}")]
    UserLimitExceeded {
        /// What is used up.
        message: Message,
        /// From when it can go on.
        resets_at: Timestamp,
    },
    /// `M_LIMIT_EXCEEDED`
    #[error("too many requests; try again in {retry_after_ms} ms")]
    LimitExceeded {
        /// How long to wait.
        retry_after_ms: u64,
    },
    /// `M_INVITE_BLOCKED` (spec v1.18, MSC4380).
    #[error("{0}")]
    InviteBlocked(Message),
    /// `M_WRONG_ROOM_KEYS_VERSION`
    #[error("the key backup has another version")]
    WrongRoomKeysVersion {
        /// The version in force, if there is one.
        current_version: Option<String>,
    },
    /// What is asked for goes against what is there; for the platform API.
    #[error("{0}")]
    Conflict(Message),
    /// `M_UNRECOGNIZED`
    #[error("{0}")]
    Unrecognized(Message),
    /// 409 `M_UNKNOWN`, as the call that makes an alias has it; creating a room with a taken alias is [`Reject::RoomInUse`].
    #[error("this room alias is taken; choose another")]
    AliasTaken,
    /// `M_CANNOT_OVERWRITE_MEDIA`
    #[error("this upload is finished and cannot be replaced")]
    CannotOverwriteMedia,
    /// `M_NOT_YET_UPLOADED`
    #[error("the file has not been uploaded yet; try again later")]
    NotYetUploaded,
    /// `M_CANNOT_LEAVE_SERVER_NOTICE_ROOM`
    #[error("{0}")]
    CannotLeaveServerNoticeRoom(Message),
    /// `M_MAX_DELAY_EXCEEDED` (MSC4140)
    #[error("an event waits {max_delay_ms} ms here at most")]
    MaxDelayExceeded {
        /// The longest delay.
        max_delay_ms: u64,
    },
    /// `M_MAX_DELAYED_EVENTS_EXCEEDED` (MSC4140)
    #[error("you have too many events waiting to be sent; cancel some")]
    MaxDelayedEventsExceeded,
    /// `M_THREEPID_DENIED`
    #[error("{0}")]
    ThreepidDenied(Message),
    /// `M_UNKNOWN_POS` (MSC4186): the sliding sync position is unknown or has expired.
    #[error("this position is not known (any more); start again without it")]
    UnknownPos,
}

impl Reject {
    /// `M_FORBIDDEN` with a sentence.
    pub fn forbidden(message: impl Into<Message>) -> Self {
        Self::Forbidden(message.into())
    }
    /// `M_NOT_FOUND` with a sentence.
    pub fn not_found(message: impl Into<Message>) -> Self {
        Self::NotFound(message.into())
    }
    /// `M_INVALID_PARAM` with a sentence.
    pub fn invalid_param(message: impl Into<Message>) -> Self {
        Self::InvalidParam(message.into())
    }
    /// `M_BAD_JSON` with a sentence.
    pub fn bad_json(message: impl Into<Message>) -> Self {
        Self::BadJson(message.into())
    }
}
