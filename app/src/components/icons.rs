//! Drawings of the page: strokes on a 24-pixel grid in the colour of the text around them, all decorative.

use leptos::prelude::*;

fn stroked(path: &'static str) -> impl IntoView + use<> {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=path></path></svg>
    }
}

/// Jñāna's mark: a flame in a lamp.
pub(crate) fn mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <path class="mark-flame"
                d="M16 3c4.6 5 6.6 8.3 6.6 11.8A6.6 6.6 0 0 1 16 21.4a6.6 6.6 0 0 1-6.6-6.6C9.4 11.3 11.4 8 16 3z">
            </path>
            <path class="mark-heart"
                d="M16 10.6c1.9 2.2 2.7 3.5 2.7 4.9a2.7 2.7 0 0 1-5.4 0c0-1.4.8-2.7 2.7-4.9z">
            </path>
            <path class="mark-lamp" d="M4 19.5c1.2 5.6 5.9 9 12 9s10.8-3.4 12-9"></path>
        </svg>
    }
}

/// Three lines: the list of conversations.
pub(crate) fn menu() -> impl IntoView {
    stroked("M4 7h16M4 12h16M4 17h10")
}

/// Plus: something new.
pub(crate) fn plus() -> impl IntoView {
    stroked("M12 5v14M5 12h14")
}

/// Cross: close or remove.
pub(crate) fn cross() -> impl IntoView {
    stroked("M6 6l12 12M18 6L6 18")
}

/// Three dots: more to do.
pub(crate) fn dots() -> impl IntoView {
    stroked(
        "M5 11.4a.6.6 0 0 1 0 1.2.6.6 0 0 1 0-1.2zM12 11.4a.6.6 0 0 1 0 1.2.6.6 0 0 1 0-1.2zM19 11.4a.6.6 0 0 1 0 1.2.6.6 0 0 1 0-1.2z",
    )
}

/// Arrow up: send.
pub(crate) fn send() -> impl IntoView {
    stroked("M12 19V5M6 11l6-6 6 6")
}

/// Arrow down: to the end.
pub(crate) fn down() -> impl IntoView {
    stroked("M12 5v14M6 13l6 6 6-6")
}

/// Square: stop.
pub(crate) fn square() -> impl IntoView {
    view! {
        <svg class="icon is-filled" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <rect x="7" y="7" width="10" height="10" rx="2"></rect>
        </svg>
    }
}

/// Disc: record.
pub(crate) fn disc() -> impl IntoView {
    view! {
        <svg class="icon is-filled" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <circle cx="12" cy="12" r="6"></circle>
        </svg>
    }
}

/// Two sheets: copy.
pub(crate) fn copy() -> impl IntoView {
    stroked("M9 9h10v11H9zM5 15V4h10")
}

/// Pencil: edit.
pub(crate) fn pencil() -> impl IntoView {
    stroked("M4 20l1-4L16 5l3 3L8 19zM14 7l3 3")
}

/// Turning arrow: once more.
pub(crate) fn again() -> impl IntoView {
    stroked("M19 12a7 7 0 1 1-2-5M19 4v4h-4")
}

/// Two arrows: the other camera.
pub(crate) fn flip() -> impl IntoView {
    stroked("M4 9h13l-3-3M20 15H7l3 3")
}

/// Arrow out of a tray: upload.
pub(crate) fn upload() -> impl IntoView {
    stroked("M12 16V5M7 9l5-5 5 5M5 19h14")
}

/// Angle to the left.
pub(crate) fn left() -> impl IntoView {
    stroked("M14 7l-5 5 5 5")
}

/// Angle to the right.
pub(crate) fn right() -> impl IntoView {
    stroked("M10 7l5 5-5 5")
}

/// Sliders: settings.
pub(crate) fn sliders() -> impl IntoView {
    stroked("M5 8h8M17 8h2M15 6v4M5 16h2M11 16h8M9 14v4")
}

/// Magnifying glass: search.
pub(crate) fn glass() -> impl IntoView {
    stroked("M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5L20 20")
}
