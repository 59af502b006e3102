//! Watermarks, open windows, lateness, replay points; pure.
