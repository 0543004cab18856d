//! Draws the rows of a table that are on the screen.
//!
//! Not by the framework: what a scroll changes is the texts of some forty rows at once, and nodes, effects
//! and handlers of their own for each of five hundred cells cost ten times what the texts do. The body of
//! the table belongs to the painter; nothing else adds or removes nodes there.

use super::cell::{Cell, Mark, meter_look};
use crate::state::class::Id;
use leptos::prelude::*;
use rustc_hash::FxHashMap;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, Text};

const SVG: &str = "http://www.w3.org/2000/svg";

/// Classes and style of a column's cells.
pub(super) type Place = (&'static str, &'static str);

/// One row as it should look.
pub(super) struct Look {
    pub(super) id: Id,
    /// Position in the whole list.
    pub(super) at: usize,
    pub(super) cursor: bool,
    /// Whether it is chosen, and its name for the box; none where rows can not be chosen.
    pub(super) chosen: Option<(bool, String)>,
    pub(super) cells: Vec<Cell>,
}

#[derive(Default)]
pub(super) struct Painter {
    rows: Vec<Row>,
    /// Rows that are not needed now; in no document.
    spare: Vec<Row>,
    /// Stand for the rows above and below.
    spacers: Option<(Spacer, Spacer)>,
}

impl Painter {
    /// Makes the body show exactly these rows, with that much room above and below (px). A row that was
    /// there keeps its nodes, and with them the focus and the pointer.
    pub(super) fn paint(
        &mut self,
        body: &Element,
        columns: impl Iterator<Item = Place> + Clone,
        looks: Vec<Look>,
        above: f64,
        below: f64,
    ) {
        let (top, bottom) = self
            .spacers
            .get_or_insert_with(|| (Spacer::new(body), Spacer::new(body)));
        top.resize(above);
        bottom.resize(below);
        let mut known: FxHashMap<Id, Row> = self
            .rows
            .drain(..)
            .map(|row| (row.look.id.clone(), row))
            .collect();
        let stay = looks.iter().filter(|look| known.contains_key(&look.id)).count();
        let mut free: Vec<Row> = Vec::with_capacity(known.len() - stay);
        for look in &looks {
            if let Some(row) = known.remove(&look.id) {
                self.rows.push(row);
            }
        }
        free.extend(known.into_values());
        free.sort_by_key(|row| row.look.at);
        leave_focus(body, &free);
        // Where nothing stays, the rows are already one after the other: they only get other texts. Else
        // those that scrolled out are taken from their places before they come back elsewhere.
        if stay > 0 {
            free.iter().for_each(|row| row.node.remove());
        }
        let mut kept = std::mem::take(&mut self.rows).into_iter();
        let mut free = free.into_iter();
        let mut place = top.node.next_element_sibling();
        for look in looks {
            let mut row = match kept.as_slice().first() {
                Some(row) if row.look.id == look.id => kept.next(),
                _ => free.next().or_else(|| self.spare.pop()),
            }
            .unwrap_or_else(|| Row::new(columns.clone(), look.chosen.is_some()));
            row.update(look);
            if place.as_ref() == Some(&row.node) {
                place = row.node.next_element_sibling();
            } else {
                let _ = body.insert_before(&row.node, place.as_deref());
            }
            self.rows.push(row);
        }
        for row in free {
            row.node.remove();
            self.spare.push(row);
        }
    }
}

/// A focused row that leaves must not turn into another one under the user's fingers: the list gets the focus.
fn leave_focus(body: &Element, leaving: &[Row]) {
    let Some(active) = document().active_element() else {
        return;
    };
    if leaving.iter().any(|row| row.node.contains(Some(&active)))
        && let Ok(Some(region)) = body.closest("[role=region]")
        && let Ok(region) = region.dyn_into::<HtmlElement>()
    {
        let _ = region.focus();
    }
}

struct Spacer {
    node: HtmlElement,
    height: f64,
}

impl Spacer {
    fn new(body: &Element) -> Self {
        let node = element("tr", "table__spacer");
        set(&node, "aria-hidden", "true");
        append(body, &node);
        Self {
            node: node.unchecked_into(),
            height: f64::NAN,
        }
    }

    fn resize(&mut self, height: f64) {
        if self.height != height {
            self.height = height;
            let _ = self.node.style().set_property("height", &format!("{height}px"));
        }
    }
}

struct Row {
    node: Element,
    choose: Option<HtmlInputElement>,
    cells: Vec<(Element, Parts)>,
    look: Look,
}

/// The nodes of a cell that may change.
enum Parts {
    Empty,
    Text(Text),
    Link(Element, Text),
    State {
        outer: Element,
        shape: Element,
        path: Option<Element>,
        word: Text,
        note: Element,
    },
    Meter {
        outer: Element,
        fill: HtmlElement,
        text: Text,
    },
    Tags(Element),
}

impl Row {
    fn new(columns: impl Iterator<Item = Place>, choosable: bool) -> Self {
        let node = element("tr", "");
        set(&node, "role", "row");
        let choose = choosable.then(|| {
            let cell = cell_in(&node, "table__select");
            let choose = element("input", "");
            set(&choose, "type", "checkbox");
            append(&cell, &choose);
            choose.unchecked_into()
        });
        let cells = columns
            .map(|(class, style)| {
                let cell = cell_in(&node, class);
                set(&cell, "style", style);
                (cell, Parts::Empty)
            })
            .collect();
        Self {
            node,
            choose,
            cells,
            look: Look {
                id: "".into(),
                at: usize::MAX,
                cursor: false,
                chosen: None,
                cells: Vec::new(),
            },
        }
    }

    fn update(&mut self, look: Look) {
        let old = &self.look;
        if old.at != look.at {
            set(
                &self.node,
                "aria-rowindex",
                &(look.at + super::FIRST_ROW).to_string(),
            );
        }
        let chosen = |look: &Look| look.chosen.as_ref().is_some_and(|(chosen, _)| *chosen);
        if (chosen(old), old.cursor) != (chosen(&look), look.cursor) {
            self.node.set_class_name(match (chosen(&look), look.cursor) {
                (false, false) => "",
                (true, false) => "table__row--selected",
                (false, true) => "table__row--cursor",
                (true, true) => "table__row--selected table__row--cursor",
            });
        }
        if let (Some(choose), Some((chosen, name))) = (&self.choose, &look.chosen) {
            choose.set_checked(*chosen);
            if old.chosen.as_ref().is_none_or(|(_, known)| known != name) {
                set(choose, "aria-label", &format!("Select {name}"));
            }
        }
        for (at, cell) in look.cells.iter().enumerate() {
            if old.cells.get(at) != Some(cell) {
                let (node, parts) = &mut self.cells[at];
                parts.update(node, old.cells.get(at), cell);
            }
        }
        self.look = look;
    }
}

impl Parts {
    fn update(&mut self, node: &Element, old: Option<&Cell>, new: &Cell) {
        if old.is_none_or(|old| std::mem::discriminant(old) != std::mem::discriminant(new)) {
            node.set_text_content(None);
            let _ = node.remove_attribute("title");
            *self = Parts::build(node, new);
        }
        match (&*self, new) {
            (Parts::Text(node_text), Cell::Text { text, title }) => {
                node_text.set_data(text);
                retitle(node, old, title);
            }
            (Parts::Link(link, node_text), Cell::Link { class, href, text }) => {
                node_text.set_data(text);
                if href.is_empty() {
                    let _ = link.remove_attribute("href");
                    link.set_class_name("muted");
                } else {
                    set(link, "href", href);
                    link.set_class_name(class);
                }
            }
            (
                Parts::State {
                    outer,
                    shape,
                    path,
                    word,
                    note: note_node,
                },
                Cell::State {
                    mark,
                    text,
                    note,
                    title,
                },
            ) => {
                word.set_data(text);
                outer.set_class_name(mark.class());
                match (mark, path) {
                    (Mark::Power { power, .. }, Some(path)) => {
                        set(shape, "class", power.class());
                        set(path, "d", power.path());
                    }
                    (Mark::Dot(class), _) => shape.set_class_name(class),
                    (Mark::Power { .. }, None) => {}
                }
                note_node.set_text_content(Some(note));
                note_node.set_class_name(if note.is_empty() { "" } else { "note" });
                retitle(node, old, title);
            }
            (Parts::Meter { outer, fill, text }, Cell::Meter { share, text: words }) => {
                let (class, width) = meter_look(*share);
                outer.set_class_name(class);
                let _ = fill.style().set_property("width", &width);
                text.set_data(words);
            }
            (Parts::Tags(list), Cell::Tags(tags)) => {
                list.set_text_content(None);
                for tag in tags.iter().take(3) {
                    let node = element("span", "tag");
                    node.set_text_content(Some(tag));
                    append(list, &node);
                }
                set(list, "title", &tags.join(", "));
            }
            _ => {}
        }
    }

    fn build(cell: &Element, content: &Cell) -> Self {
        match content {
            Cell::Text { .. } => Parts::Text(text_in(cell)),
            Cell::Link { class, .. } => {
                let link = element("a", class);
                append(cell, &link);
                let text = text_in(&link);
                Parts::Link(link, text)
            }
            Cell::State { mark, .. } => {
                let outer = element("span", mark.class());
                let (shape, path) = match mark {
                    Mark::Power { .. } => {
                        let shape = svg("svg");
                        set(&shape, "viewBox", "0 0 16 16");
                        set(&shape, "width", "14");
                        set(&shape, "height", "14");
                        let path = svg("path");
                        append(&shape, &path);
                        (shape, Some(path))
                    }
                    Mark::Dot(class) => (element("span", class), None),
                };
                set(&shape, "aria-hidden", "true");
                let word = element("span", "");
                append(&outer, &shape);
                append(&outer, &word);
                append(cell, &outer);
                let note = element("span", "");
                append(cell, &note);
                let word = text_in(&word);
                Parts::State {
                    outer,
                    shape,
                    path,
                    word,
                    note,
                }
            }
            Cell::Meter { .. } => {
                let outer = element("span", "meter");
                let bar = element("span", "meter__bar");
                set(&bar, "aria-hidden", "true");
                let fill: HtmlElement = element("span", "meter__fill").unchecked_into();
                append(&bar, &fill);
                append(&outer, &bar);
                let words = element("span", "meter__text");
                append(&outer, &words);
                append(cell, &outer);
                let text = text_in(&words);
                Parts::Meter { outer, fill, text }
            }
            Cell::Tags(_) => {
                let list = element("span", "tags");
                append(cell, &list);
                Parts::Tags(list)
            }
        }
    }
}

/// The tooltip of a cell, if it is another one now.
fn retitle(node: &Element, old: Option<&Cell>, title: &str) {
    let before = match old {
        Some(Cell::Text { title, .. } | Cell::State { title, .. }) => title,
        _ => "",
    };
    if before != title {
        if title.is_empty() {
            let _ = node.remove_attribute("title");
        } else {
            set(node, "title", title);
        }
    }
}

/// Names of elements and classes are ours, so a document refuses none of them.
fn element(name: &str, class: &str) -> Element {
    let element = document().create_element(name).expect("an element's name");
    if !class.is_empty() {
        element.set_class_name(class);
    }
    element
}

fn svg(name: &str) -> Element {
    document()
        .create_element_ns(Some(SVG), name)
        .expect("an element's name")
}

/// Rows and cells have their roles spelled out: some browsers forget those of a table that is laid out otherwise.
fn cell_in(row: &Element, class: &str) -> Element {
    let cell = element("td", class);
    set(&cell, "role", "cell");
    append(row, &cell);
    cell
}

fn append(parent: &Element, child: &Element) {
    let _ = parent.append_child(child);
}

fn text_in(parent: &Element) -> Text {
    let text = document().create_text_node("");
    let _ = parent.append_child(&text);
    text
}

fn set(element: &Element, name: &str, value: &str) {
    let _ = element.set_attribute(name, value);
}
