//! One set of outline icons, 16 px, drawn for this product. Decorative: the words are beside them.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Add,
    Alert,
    Check,
    Chevron,
    Close,
    Columns,
    Copy,
    Disk,
    Down,
    Help,
    Host,
    Keyboard,
    Link,
    Memory,
    Menu,
    More,
    Network,
    Pause,
    Pool,
    Restart,
    Resume,
    Search,
    Server,
    SignOut,
    Snapshot,
    Start,
    Stop,
    Suspend,
    Tag,
    Task,
    Theme,
    Trash,
    Up,
    User,
    Vm,
    Cpu,
    Edit,
    Revert,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Icon::Add => "M8 3v10M3 8h10",
            Icon::Alert => "M8 2.2 14.4 13.4H1.6ZM8 6.4v3.2M8 11.5v.1",
            Icon::Check => "m3 8.5 3.2 3.2L13 4.8",
            Icon::Chevron => "m6 3.5 4.5 4.5L6 12.5",
            Icon::Close => "m4 4 8 8M12 4l-8 8",
            Icon::Columns => "M2.5 3h11v10h-11ZM6.2 3v10M9.8 3v10",
            Icon::Copy => "M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3",
            Icon::Disk => {
                "M2.5 4c0-1 2.5-1.8 5.5-1.8S13.500 3 13.500 4v8c0 1-2.500 1.800-5.500 1.800S2.500 13 2.500 12ZM2.500 4c0 1 2.500 1.800 5.500 1.800S13.500 5 13.500 4"
            }
            Icon::Down => "M8 3v10M4 9l4 4 4-4",
            Icon::Up => "M8 13V3M4 7l4-4 4 4",
            Icon::Help => {
                "M8 1.800a6.200 6.200 0 1 0 0 12.400A6.200 6.200 0 0 0 8 1.800ZM6.200 6.300c0-2.300 3.600-2.300 3.600 0 0 1.500-1.800 1.500-1.800 3M8 11.500v.1"
            }
            Icon::Host => {
                "M2 3h12v4.200H2ZM2 8.800h12V13H2ZM4.500 5.100h.1M4.500 10.900h.1M8 5.100h3.500M8 10.900h3.500"
            }
            Icon::Keyboard => {
                "M1.500 4h13v8h-13ZM4 6.500h.1M7 6.500h.1M10 6.500h.1M12.500 6.500h.1M5 9.500h6"
            }
            Icon::Link => {
                "M6.500 9.500 9.500 6.500M7 4.500l1.500-1.500a3.180 3.180 0 0 1 4.500 4.500L11.500 9M9 11.500 7.500 13A3.180 3.180 0 0 1 3 8.500L4.500 7"
            }
            Icon::Memory => "M2 5h12v6H2ZM5 5v6M8 5v6M11 5v6M4 11v2M8 11v2M12 11v2",
            Icon::Cpu => {
                "M4 4h8v8H4ZM6.500 6.500h3v3h-3ZM6 1.800V4M10 1.800V4M6 12v2.200M10 12v2.200M1.800 6H4M1.800 10H4M12 6h2.200M12 10h2.200"
            }
            Icon::Menu => "M2.500 4h11M2.500 8h11M2.500 12h11",
            Icon::More => "M3.500 8h.1M8 8h.1M12.500 8h.1",
            Icon::Network => {
                "M6 2h4v3.500H6ZM1.800 10.500h4V14h-4ZM10.200 10.500h4V14h-4ZM8 5.500V8M3.800 10.500V8h8.400v2.500"
            }
            Icon::Pause => "M5.500 3.500v9M10.500 3.500v9",
            Icon::Pool => "M8 1.800 14 5 8 8.200 2 5ZM2 8l6 3.200L14 8M2 11l6 3.200L14 11",
            Icon::Restart => "M13 8a5 5 0 1 1-1.500-3.600M13 2v3h-3",
            Icon::Revert => "M3 8a5 5 0 1 0 1.500-3.600M3 2v3h3",
            Icon::Resume => "M4 3.500v9M7 3.500 13 8l-6 4.500Z",
            Icon::Search => "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9ZM10.300 10.300 14 14",
            Icon::Server => "M2.500 2.500h11v4h-11ZM2.500 9.500h11v4h-11ZM8 6.500v3M5 4.500h.1M5 11.500h.1",
            Icon::SignOut => "M6.500 2.500h-4v11h4M6.500 8H14M11 5l3 3-3 3",
            Icon::Snapshot => {
                "M2 5h3l1.200-2h3.600L11 5h3v8H2ZM8 6.700a2.200 2.200 0 1 0 0 4.400 2.200 2.200 0 0 0 0-4.400Z"
            }
            Icon::Start => "M4.500 2.800 12.500 8l-8 5.200Z",
            Icon::Stop => "M4 4h8v8H4Z",
            Icon::Suspend => "M12.800 9.800A5.500 5.500 0 0 1 6.200 3.200a5.500 5.500 0 1 0 6.600 6.600Z",
            Icon::Tag => "M2.500 2.500H8L14 8.500 8.500 14 2.500 8ZM5.500 5.500h.1",
            Icon::Task => "M6 4h8M6 8h8M6 12h8M2 4l.8.8L4 3.400M2 8l.8.8L4 7.400M2.800 12h.1",
            Icon::Theme => "M8 1.800a6.200 6.200 0 1 0 0 12.400ZM8 1.800a6.200 6.200 0 0 1 0 12.400",
            Icon::Trash => "M2.500 4h11M6 4V2.500h4V4M4 4l.7 9.500h6.600L12 4M6.700 6.700v4M9.300 6.700v4",
            Icon::User => {
                "M8 2.200a2.800 2.800 0 1 0 0 5.600 2.800 2.800 0 0 0 0-5.600ZM2.800 14c.4-3 2.500-4.200 5.200-4.200s4.800 1.200 5.200 4.200"
            }
            Icon::Vm => "M1.800 2.800h12.400v8.400H1.800ZM5.500 13.500h5M8 11.200v2.300",
            Icon::Edit => "M3 13l.6-2.800L11 2.800 13.200 5l-7.400 7.400Z",
        }
    }
}

#[component]
pub fn Glyph(icon: Icon) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
            <path d=icon.path() />
        </svg>
    }
}
