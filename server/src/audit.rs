//! The audit log: who did what, from where, on what, with what outcome.
//!
//! One JSON record per line, in files of the data folder that only grow. Each record holds the id of the one
//! before, and its own id is the hash of all that it says: none can be changed, removed from the middle or put
//! in between without breaking the chain. What is cut off at the end is noticed by whoever has noted a later id.
//! A call is answered after its record was handed to the system; once a second it is made to stay on disk.

mod files;
mod hide;
mod record;

pub use files::{Problem, Verified, verify};
pub use hide::hide_secrets;
pub use record::Record;

use crate::auth::tokens::now_ms;
use files::Files;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Records that wait to be written; who comes later waits with its answer.
const WAITING: usize = 1_000;
/// So often what was written is made to stay.
const SYNC: Duration = Duration::from_secs(1);
/// Parameters of a call that are longer than this are left out.
const LONGEST_PARAMS: usize = 16 << 10;

/// Failed sign-ins that are noted one by one.
const FAILURES_PER_MINUTE: u32 = 120;

/// Who did it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub user_id: Option<String>,
    pub user_name: Option<String>,
    pub address: String,
}

struct Entry {
    event: &'static str,
    subject: Subject,
    data: Value,
    written: oneshot::Sender<()>,
}

#[derive(Clone)]
pub struct Audit {
    folder: PathBuf,
    entries: mpsc::Sender<Entry>,
    failing: Arc<AtomicBool>,
    failures: Arc<Failures>,
}

/// Failed sign-ins of the present minute: whoever guesses passwords must not push out what others did.
#[derive(Default)]
struct Failures(Mutex<(u64, u32, u32)>);

impl Failures {
    /// How many were left out before this one; `None` when this one is left out, too.
    fn admit(&self) -> Option<u32> {
        let minute = u64::try_from(now_ms()).unwrap_or_default() / 60_000;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, noted, left_out) = &mut *state;
        if *of != minute {
            (*of, *noted) = (minute, 0);
        }
        if *noted >= FAILURES_PER_MINUTE {
            *left_out += 1;
            return None;
        }
        *noted += 1;
        Some(std::mem::take(left_out))
    }
}

impl Audit {
    /// Goes on where the log ends; what of a last record a crash has left unfinished is put aside.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        let files = Files::open(folder)?;
        let (sender, entries) = mpsc::channel(WAITING);
        let failing = Arc::new(AtomicBool::new(false));
        let failed = failing.clone();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(files, entries, &failed))?;
        Ok(Self {
            folder: folder.to_owned(),
            entries: sender,
            failing,
            failures: Arc::default(),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records are lost: the disk is full, or gone.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub async fn call(&self, subject: Subject, method: &str, params: Value, outcome: Result<(), Value>) {
        let size = params.to_string().len();
        let params = if size > LONGEST_PARAMS {
            json!({ "omitted": format!("{size} bytes") })
        } else {
            params
        };
        let mut data = json!({ "method": method, "params": params });
        match outcome {
            Ok(()) => data["outcome"] = "success".into(),
            Err(error) => {
                data["outcome"] = "failure".into();
                data["error"] = error;
            }
        }
        self.write("apiCall", subject, data).await;
    }

    pub async fn sign_in(&self, subject: Subject, how: &str, success: bool) {
        if success {
            return self.write("signIn", subject, json!({ "with": how })).await;
        }
        let Some(left_out) = self.failures.admit() else {
            return;
        };
        let mut data = json!({ "with": how });
        if left_out > 0 {
            data["leftOutBefore"] = left_out.into();
        }
        self.write("signInFailed", subject, data).await;
    }

    async fn write(&self, event: &'static str, subject: Subject, data: Value) {
        let (written, done) = oneshot::channel();
        let entry = Entry {
            event,
            subject,
            data,
            written,
        };
        // The writer ends with the last of us, and says itself what it could not write.
        if self.entries.send(entry).await.is_ok() {
            drop(done.await);
        }
    }
}

/// Until nobody can write any more.
fn write_all(mut files: Files, mut entries: mpsc::Receiver<Entry>, failing: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        tracing::error!("the audit log cannot be written");
        return failing.store(true, Ordering::Relaxed);
    };
    // When the first record came that may not be on disk yet.
    let mut unsynced: Option<Instant> = None;
    loop {
        let next = runtime.block_on(async {
            match unsynced {
                Some(since) => tokio::time::timeout_at((since + SYNC).into(), entries.recv()).await,
                None => Ok(entries.recv().await),
            }
        });
        let ended = matches!(next, Ok(None));
        let result = match next {
            Ok(Some(entry)) => {
                let result = files.append(entry.event, &entry.subject, entry.data);
                // Who waits may have gone.
                let _ = entry.written.send(());
                unsynced.get_or_insert_with(Instant::now);
                result
            }
            // It is time, or nothing more will come.
            Err(_) | Ok(None) => {
                unsynced = None;
                files.sync()
            }
        };
        let failed = result.is_err();
        if let Err(error) = result
            && !failing.load(Ordering::Relaxed)
        {
            tracing::error!(%error, "the audit log cannot be written");
        }
        failing.store(failed, Ordering::Relaxed);
        if ended {
            return;
        }
    }
}

/// The newest records first; see [`files::read_back`]. Reads files: not on a thread that answers others.
pub fn read_back(
    folder: &Path,
    newest: Option<&str>,
    most: usize,
    fits: impl Fn(&Record) -> bool,
) -> std::io::Result<Vec<Record>> {
    files::read_back(folder, newest, most, fits)
}
