//! The audit log: who did what, from where, on what, with what outcome.
//!
//! One JSON record per line, in files of the data folder that only grow. Each record holds the id of the one
//! before, its own id is the hash of all that it says, and the id is sealed with a key that comes from the key
//! file: without it none can be changed, removed from the middle or put in between. What is cut off at the end is
//! noticed by whoever has noted a later id.
//! A call is answered after its record was handed to the system; once a second it is made to stay on disk.

mod files;
mod hide;
mod record;
mod verify;

pub use files::{Keep, walk_back};
pub use hide::{shown, without_secrets};
pub use record::{Key, Record};
pub use verify::{Problem, Verified, Wanted, verify};

use crate::{auth::tokens::now_ms, neighbours};
use app::rpc::ErrorCode;
use files::Files;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Records that wait to be written; who comes later waits with its answer.
const WAITING: usize = 1_000;
/// So often what was written is made to stay.
const SYNC: Duration = Duration::from_secs(1);

/// Failed sign-ins of one address, and of all, that are noted one by one in a minute.
const FAILURES_PER_MINUTE: u32 = 120;
const FAILURES_OF_ALL: u32 = 1_200;

/// Who did it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub user_id: Option<String>,
    pub user_name: Option<String>,
    /// In place of a name that nobody has.
    pub pseudonym: Option<String>,
    pub address: String,
}

/// Calls of one user that failed are noted one by one up to so many in such a time; of further ones the number is.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub failures: u32,
    pub within: Duration,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            failures: 120,
            within: Duration::from_secs(60),
        }
    }
}

enum Entry {
    Record {
        event: &'static str,
        subject: Subject,
        data: Value,
        written: oneshot::Sender<()>,
    },
    /// Something was left out, and is to be told of when its time is over.
    LeftOut,
}

#[derive(Clone)]
pub struct Audit {
    folder: PathBuf,
    key: Key,
    entries: mpsc::Sender<Entry>,
    is_new: bool,
    failing: Arc<AtomicBool>,
    failures: Arc<Failures>,
    refused: Arc<Refused>,
}

/// Failed sign-ins of the present minute, by address: whoever guesses passwords must not push out what others did, nor
/// hide what others guess.
#[derive(Default)]
struct Failures(Mutex<FailuresState>);

#[derive(Default)]
struct FailuresState {
    minute: u64,
    noted: HashMap<String, u32>,
    all: u32,
    left_out: u32,
}

impl Failures {
    /// How many were left out before this one; `None` when this one is left out, too.
    fn admit(&self, address: &str) -> Option<u32> {
        let minute = u64::try_from(now_ms()).unwrap_or_default() / 60_000;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.minute != minute {
            (state.minute, state.all) = (minute, 0);
            state.noted.clear();
        }
        let address = neighbours::of_text(address);
        let of_address = state.noted.get(&address).copied().unwrap_or_default();
        if of_address >= FAILURES_PER_MINUTE || state.all >= FAILURES_OF_ALL {
            state.left_out += 1;
            return None;
        }
        state.noted.insert(address, of_address + 1);
        state.all += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

/// Failed calls by user: who has no right to anything must not push out what others did.
struct Refused {
    flood: Flood,
    state: Mutex<RefusedState>,
}

struct RefusedState {
    since: Instant,
    noted: HashMap<String, u32>,
    left_out: HashMap<String, (Subject, BTreeMap<&'static str, u64>)>,
}

enum Verdict {
    Noted,
    LeftOut { first: bool },
}

impl Refused {
    fn new(flood: Flood) -> Self {
        let state = RefusedState {
            since: Instant::now(),
            noted: HashMap::new(),
            left_out: HashMap::new(),
        };
        Self {
            flood,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, RefusedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, subject: &Subject, method: &'static str) -> Verdict {
        let user = subject.user_id.clone().unwrap_or_default();
        let mut state = self.state();
        if state.since.elapsed() >= self.flood.within {
            state.since = Instant::now();
            state.noted.clear();
        }
        let noted = state.noted.entry(user.clone()).or_default();
        if *noted < self.flood.failures {
            *noted += 1;
            return Verdict::Noted;
        }
        let first = state.left_out.is_empty();
        let (_, methods) = state
            .left_out
            .entry(user)
            .or_insert_with(|| (subject.clone(), BTreeMap::new()));
        *methods.entry(method).or_default() += 1;
        Verdict::LeftOut { first }
    }

    /// What was left out until now.
    fn take(&self) -> Vec<(Subject, BTreeMap<&'static str, u64>)> {
        std::mem::take(&mut self.state().left_out).into_values().collect()
    }
}

/// Whether a call failed before it could do anything: it was not allowed, or was not understood.
fn was_refused(error: &Value) -> bool {
    const CODES: [ErrorCode; 4] = [
        ErrorCode::NO_SUCH_OBJECT,
        ErrorCode::UNAUTHORIZED,
        ErrorCode::INVALID_CREDENTIALS,
        ErrorCode::INVALID_PARAMETERS,
    ];
    CODES.iter().any(|code| error["code"] == json!(code.0))
}

impl Audit {
    /// Goes on where the log ends; what of a last record a crash has left unfinished is put aside.
    pub fn open(folder: &Path, key: Key, keep: Keep, flood: Flood) -> std::io::Result<Self> {
        let files = Files::open(folder, key.clone(), keep)?;
        let is_new = files.is_new;
        let (sender, entries) = mpsc::channel(WAITING);
        let failing = Arc::new(AtomicBool::new(false));
        let refused = Arc::new(Refused::new(flood));
        let (failed, left_out) = (failing.clone(), refused.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(files, entries, &failed, &left_out))?;
        Ok(Self {
            folder: folder.to_owned(),
            key,
            is_new,
            entries: sender,
            failing,
            failures: Arc::default(),
            refused,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// It began when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Records are lost: the disk is full, or gone.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// `params`: as [`shown`] shows them.
    pub async fn call(
        &self,
        subject: Subject,
        method: &'static str,
        params: Map<String, Value>,
        outcome: Result<(), Value>,
    ) {
        // What may have done something on its way to failing is noted in any case.
        let refused = outcome.as_ref().is_err_and(was_refused);
        if refused && let Verdict::LeftOut { first } = self.refused.admit(&subject, method) {
            // The writer ends with the last of us.
            if first && self.entries.send(Entry::LeftOut).await.is_err() {
                tracing::debug!("the audit log is closed");
            }
            return;
        }
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
        let Some(left_out) = self.failures.admit(&subject.address) else {
            return;
        };
        let mut data = json!({ "with": how });
        if left_out > 0 {
            data["leftOutBefore"] = left_out.into();
        }
        self.write("signInFailed", subject, data).await;
    }

    /// What is neither a call nor a sign-in.
    pub async fn write(&self, event: &'static str, subject: Subject, data: Value) {
        let (written, done) = oneshot::channel();
        let entry = Entry::Record {
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
fn write_all(mut files: Files, mut entries: mpsc::Receiver<Entry>, failing: &AtomicBool, refused: &Refused) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        tracing::error!("the audit log cannot be written");
        return failing.store(true, Ordering::Relaxed);
    };
    // When what was written is to be on disk, and when what was left out is to be told.
    let (mut sync, mut tell): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let due = [sync, tell].into_iter().flatten().min();
        let next = runtime.block_on(async {
            match due {
                Some(due) => tokio::time::timeout_at(due.into(), entries.recv()).await,
                None => Ok(entries.recv().await),
            }
        });
        let ended = matches!(next, Ok(None));
        let is_due = |at: Option<Instant>| ended || at.is_some_and(|at| at <= Instant::now());
        let mut result = Ok(());
        match next {
            Ok(Some(Entry::Record {
                event,
                subject,
                data,
                written,
            })) => {
                result = files.append(event, &subject, data);
                // Who waits may have gone.
                let _ = written.send(());
                sync.get_or_insert_with(|| Instant::now() + SYNC);
            }
            Ok(Some(Entry::LeftOut)) => {
                tell.get_or_insert_with(|| Instant::now() + refused.flood.within);
            }
            Err(_) | Ok(None) => {}
        }
        if is_due(tell) {
            tell = None;
            for (subject, methods) in refused.take() {
                let count: u64 = methods.values().sum();
                let data = json!({ "count": count, "methods": methods });
                result = result.and(files.append("apiCallsRefused", &subject, data));
                sync.get_or_insert_with(|| Instant::now() + SYNC);
            }
        }
        if is_due(sync) {
            sync = None;
            result = result.and(files.sync());
        }
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
