//! Limits that are the same on every installation and that tests shorten. What need not be shortened is a
//! constant beside the code that it concerns.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Limits {
    pub pace: Pace,
    /// A form that does not arrive in that time is not waited for.
    pub form_time: Duration,
    /// A client of HTTP that takes nothing of its answer for so long is given up.
    pub stalled: Duration,
    /// Who has not signed in by then loses the socket to somebody who may.
    pub sign_in_time: Duration,
    /// Sockets of one address on which nobody has signed in.
    pub strangers: usize,
    /// Connections of one user.
    pub sessions: usize,
    /// Answers of one batch, in bytes: they are held until the last of them is there.
    pub batch_answers: usize,
    /// The longest message of a signed-in client. None of the methods needs one so long.
    pub message: usize,
    /// What all messages that are being worked on may take in memory.
    pub messages: usize,
    /// What listings take that clients have not read yet.
    pub listings: usize,
    /// What finds no room among them waits so long for it.
    pub room_patience: Duration,
    /// Downloads, and uploads, of one user that wait at a time.
    pub tickets: usize,
    /// Failed calls of one user that are in the audit log one by one.
    pub refused: crate::audit::Flood,
    /// Tokens of one user.
    pub tokens: usize,
    /// Removed objects that are remembered for clients that fall behind.
    pub removals: usize,
    /// Calls that run when the server is told to stop get so long to be answered.
    pub stopping: Duration,
    /// Expired tokens are removed from the store that often.
    pub token_sweep: Duration,
}

/// How patient a link to a pool is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After this silence the objects of a pool are withdrawn until it speaks again. Anything shorter than a
    /// few polls takes rest for silence.
    pub silence: Duration,
    /// A pool without news is asked again after that time.
    pub poll: Duration,
    /// Between two attempts to connect, when the ones before have failed too.
    pub longest_wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(5 * 60),
            poll: xapi::watch::POLL,
            longest_wait: Duration::from_secs(6),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            form_time: Duration::from_secs(15),
            stalled: crate::rpc::conversation::STALLED,
            sign_in_time: Duration::from_secs(60),
            strangers: 100,
            sessions: 1_000,
            batch_answers: 32 << 20,
            message: 1 << 20,
            messages: 128 << 20,
            listings: 1 << 30,
            room_patience: Duration::from_secs(10),
            tickets: 20,
            refused: crate::audit::Flood::default(),
            tokens: 1_000,
            removals: crate::inventory::store::REMEMBERED_REMOVALS,
            stopping: Duration::from_secs(20),
            token_sweep: Duration::from_secs(3600),
        }
    }
}
