//! The actions that this user started in this page: under way, done, failed.

use super::{
    class::Id,
    explain::{Explained, explain},
    toasts::{Toast, Toasts},
};
use crate::{client, rpc::Method, ui::format::plural};
use leptos::{prelude::*, task::spawn_local};
use std::{cell::RefCell, collections::VecDeque, rc::Rc};

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Running,
    Done,
    Failed(Explained),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub key: u64,
    /// What is done, as a sentence: `Start web-01`.
    pub title: String,
    pub object: Option<Id>,
    /// ms since epoch.
    pub started: f64,
    pub ended: Option<f64>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy)]
pub struct Actions {
    /// Newest first.
    pub all: RwSignal<Vec<Action>>,
    toasts: Toasts,
    last: StoredValue<u64>,
}

/// Ended ones beyond this are forgotten.
const KEPT: usize = 2000;
/// How many calls of one bulk action are under way together.
const AT_ONCE: usize = 8;

impl Actions {
    pub fn new(toasts: Toasts) -> Self {
        Self {
            all: RwSignal::new(Vec::new()),
            toasts,
            last: StoredValue::new(0),
        }
    }

    /// Calls the server and follows the call to its end. `after` runs on success.
    pub fn run<M: Method>(
        self,
        title: impl Into<String>,
        object: Option<Id>,
        params: M::Params,
        after: impl FnOnce(M::Output) + 'static,
    ) where
        M::Params: 'static,
        M::Output: 'static,
    {
        let title = title.into();
        let key = self.begin(title.clone(), object);
        spawn_local(async move {
            match client::call::<M>(params).await {
                Ok(output) => {
                    self.end(key, Outcome::Done);
                    self.toasts.push(Toast::Done(title));
                    after(output);
                }
                Err(error) => {
                    let why = explain(&error);
                    self.end(key, Outcome::Failed(why.clone()));
                    self.toasts.push(Toast::Failed { tried: title, why });
                }
            }
        });
    }

    /// Runs one action on many objects, a few at a time, and says the sum at the end.
    pub fn run_all<M: Method>(self, verb: &'static str, jobs: Vec<(String, Id, M::Params)>)
    where
        M::Params: 'static,
        M::Output: 'static,
    {
        let number = jobs.len();
        let queue: VecDeque<_> = jobs
            .into_iter()
            .map(|(name, id, params)| (self.begin(format!("{verb} {name}"), Some(id)), params))
            .collect();
        let queue = Rc::new(RefCell::new((queue, Vec::<u64>::new(), number)));
        for _ in 0..AT_ONCE.min(number) {
            let queue = queue.clone();
            spawn_local(async move {
                loop {
                    let next = queue.borrow_mut().0.pop_front();
                    let Some((key, params)) = next else { break };
                    let outcome = match client::call::<M>(params).await {
                        Ok(_) => Outcome::Done,
                        Err(error) => {
                            queue.borrow_mut().1.push(key);
                            Outcome::Failed(explain(&error))
                        }
                    };
                    self.end(key, outcome);
                    let mut queue = queue.borrow_mut();
                    queue.2 -= 1;
                    if queue.2 == 0 {
                        self.sum_up(verb, number, &queue.1);
                    }
                }
            });
        }
    }

    fn sum_up(self, verb: &str, number: usize, failed: &[u64]) {
        if failed.is_empty() {
            self.toasts
                .push(Toast::Done(format!("{verb}: {} done", plural(number, "object"))));
            return;
        }
        let details: Vec<(String, Explained)> = self.all.with_untracked(|all| {
            let of = |key: &u64| all.iter().find(|action| action.key == *key);
            failed
                .iter()
                .filter_map(of)
                .filter_map(|action| match &action.outcome {
                    Outcome::Failed(why) => Some((action.title.clone(), why.clone())),
                    Outcome::Running | Outcome::Done => None,
                })
                .collect()
        });
        let lines: Vec<String> = details
            .iter()
            .map(|(title, why)| format!("{title}: {}", why.raw))
            .collect();
        let what = details
            .first()
            .map_or_else(String::new, |(title, why)| format!("{title}: {}", why.what));
        self.toasts.push(Toast::Failed {
            tried: format!("{verb}: {} of {number} failed", failed.len()),
            why: Explained {
                what,
                next: Some("The task drawer lists every object with its result.".into()),
                raw: lines.join("\n"),
            },
        });
    }

    fn begin(self, title: String, object: Option<Id>) -> u64 {
        self.last.update_value(|last| *last += 1);
        let key = self.last.get_value();
        let started = js_sys::Date::now();
        self.all.update(|all| {
            all.insert(
                0,
                Action {
                    key,
                    title,
                    object,
                    started,
                    ended: None,
                    outcome: Outcome::Running,
                },
            );
            all.truncate(KEPT);
        });
        key
    }

    fn end(self, key: u64, outcome: Outcome) {
        self.all.update(|all| {
            if let Some(action) = all.iter_mut().find(|action| action.key == key) {
                action.outcome = outcome;
                action.ended = Some(js_sys::Date::now());
            }
        });
    }

    pub fn running(self) -> usize {
        self.all.with(|all| {
            all.iter()
                .filter(|action| action.outcome == Outcome::Running)
                .count()
        })
    }

    /// The actions of mine that run on this object now.
    pub fn running_on(self, object: &str) -> bool {
        self.all.with(|all| {
            all.iter()
                .any(|action| action.outcome == Outcome::Running && action.object.as_deref() == Some(object))
        })
    }
}
