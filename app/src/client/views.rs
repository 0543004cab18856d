//! The views that the page watches, whatever becomes of the connection: each is subscribed to again,
//! from where it stood, after a cut.

use crate::rpc::{
    RpcError,
    view::{Since, SubscribeParams, Subscribed, UnsubscribeParams, ViewSpec, ViewUpdate},
};
use std::{cell::RefCell, rc::Rc};

use super::connection;

/// What a watcher hears.
pub enum ViewEvent {
    Update(Box<ViewUpdate>),
    /// The server refuses this view: the object is gone, or not ours to see.
    Refused(RpcError),
}

pub(super) struct View {
    key: u64,
    spec: ViewSpec,
    /// Number on the present socket, once the server gave one.
    number: Option<u32>,
    epoch: u64,
    revision: Option<u64>,
    sink: Rc<dyn Fn(ViewEvent)>,
}

#[derive(Default)]
struct Views {
    all: Vec<View>,
    last_key: u64,
    /// Updates that overtook the answer which names their view.
    early: Vec<ViewUpdate>,
}

/// More early updates than a whole snapshot has chunks are of a view that nobody wants any more.
const MOST_EARLY: usize = 200;

thread_local! {
    static VIEWS: RefCell<Views> = RefCell::default();
}

/// Ends the view when dropped.
pub struct ViewHandle(u64);

/// Watches a view; `sink` gets every update in order, also those after a reconnection.
pub fn watch(spec: ViewSpec, sink: impl Fn(ViewEvent) + 'static) -> ViewHandle {
    let key = VIEWS.with_borrow_mut(|views| {
        views.last_key += 1;
        let key = views.last_key;
        views.all.push(View {
            key,
            spec,
            number: None,
            epoch: 0,
            revision: None,
            sink: Rc::new(sink),
        });
        key
    });
    if connection::is_ready() {
        subscribe(key);
    }
    ViewHandle(key)
}

impl Drop for ViewHandle {
    fn drop(&mut self) {
        let number = VIEWS.with_borrow_mut(|views| {
            let at = views.all.iter().position(|view| view.key == self.0)?;
            views.all.swap_remove(at).number
        });
        if let Some(view) = number {
            connection::send("view.unsubscribe", &UnsubscribeParams { view }, Box::new(|_| {}));
        }
    }
}

/// After each sign-in.
pub(super) fn subscribe_all() {
    let keys: Vec<u64> = VIEWS.with_borrow(|views| views.all.iter().map(|view| view.key).collect());
    for key in keys {
        subscribe(key);
    }
}

/// After each cut: numbers belong to a socket.
pub(super) fn forget_numbers() {
    VIEWS.with_borrow_mut(|views| {
        views.all.iter_mut().for_each(|view| view.number = None);
        views.early.clear();
    });
}

fn subscribe(key: u64) {
    let params = VIEWS.with_borrow(|views| {
        let view = views.all.iter().find(|view| view.key == key)?;
        Some(SubscribeParams {
            view: view.spec.clone(),
            since: view.revision.map(|revision| Since {
                epoch: view.epoch,
                revision,
            }),
            compress: true,
        })
    });
    let Some(params) = params else { return };
    connection::send(
        "view.subscribe",
        &params,
        Box::new(move |answer| match answer {
            Ok(raw) => {
                if let Ok(subscribed) = serde_json::from_str::<Subscribed>(raw.get()) {
                    accept(key, subscribed);
                }
            }
            Err(super::CallError::Refused(error)) => {
                let sink = sink_of(|view| view.key == key);
                if let Some(sink) = sink {
                    sink(ViewEvent::Refused(error));
                }
            }
            // The connection is going down: the next one subscribes again.
            Err(_) => {}
        }),
    );
}

fn accept(key: u64, subscribed: Subscribed) {
    let wanted = VIEWS.with_borrow_mut(|views| match views.all.iter_mut().find(|view| view.key == key) {
        Some(view) => {
            view.number = Some(subscribed.view);
            // A revision of another epoch means nothing.
            if view.epoch != subscribed.epoch {
                view.epoch = subscribed.epoch;
                view.revision = None;
            }
            true
        }
        None => false,
    });
    let early: Vec<_> = VIEWS.with_borrow_mut(|views| {
        views
            .early
            .extract_if(.., |update| update.view == subscribed.view)
            .collect()
    });
    // Dropped while the answer was under way.
    if !wanted {
        connection::send(
            "view.unsubscribe",
            &UnsubscribeParams {
                view: subscribed.view,
            },
            Box::new(|_| {}),
        );
        return;
    }
    early.into_iter().map(Box::new).for_each(deliver);
}

pub(super) fn deliver(update: Box<ViewUpdate>) {
    let ready = VIEWS.with_borrow_mut(|views| {
        let Some(view) = views.all.iter_mut().find(|view| view.number == Some(update.view)) else {
            if views.early.len() >= MOST_EARLY {
                views.early.remove(0);
            }
            views.early.push(*update);
            return None;
        };
        // Within a snapshot there is no revision to go on from: a cut there must start it again.
        if update.reset {
            view.revision = None;
        }
        if !update.more {
            view.revision = Some(update.revision);
        }
        Some((view.sink.clone(), update))
    });
    if let Some((sink, update)) = ready {
        sink(ViewEvent::Update(update));
    }
}

fn sink_of(which: impl Fn(&View) -> bool) -> Option<Rc<dyn Fn(ViewEvent)>> {
    VIEWS.with_borrow(|views| {
        views
            .all
            .iter()
            .find(|view| which(view))
            .map(|view| view.sink.clone())
    })
}
