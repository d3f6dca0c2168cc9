//! What a visitor can set: how many thumbnails, and how wide.

use serde::{Deserialize, Serialize};

/// How thumbnails are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Seconds of video from one to the next.
    pub(crate) every: f64,
    /// Width in pixels.
    pub(crate) width: u32,
}

impl Settings {
    /// What the page's form holds; what is missing is as at first.
    ///
    /// # Errors
    /// In words for the visitor, when a number is none or out of its bounds.
    pub(crate) fn parse(self, rate: Option<&str>, unit: Option<&str>, width: Option<&str>) -> Result<Self, String> {
        let every = match (rate, unit) {
            (None, _) => self.every,
            (Some(rate), Some("fps")) => fps(rate)?.recip(),
            (Some(rate), _) => every(rate)?,
        };
        Ok(Self { every, width: width.map_or(Ok(self.width), self::width)? })
    }
}

/// Seconds from one thumbnail to the next.
pub(crate) fn every(text: &str) -> Result<f64, String> {
    number(text, 0.04..=3600.0).ok_or_else(|| "the interval is 0.04 to 3600 seconds".to_owned())
}

/// Thumbnails per second.
pub(crate) fn fps(text: &str) -> Result<f64, String> {
    number(text, 0.001..=25.0).ok_or_else(|| "there are 0.001 to 25 thumbnails per second".to_owned())
}

/// Width in pixels.
pub(crate) fn width(text: &str) -> Result<u32, String> {
    let width = text.trim().parse().ok().filter(|width| (32..=1280).contains(width));
    width.ok_or_else(|| "the width is 32 to 1280 pixels".to_owned())
}

fn number(text: &str, bounds: std::ops::RangeInclusive<f64>) -> Option<f64> {
    // Bounds refuse what is no number too.
    text.trim().parse().ok().filter(|number| bounds.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Settings = Settings { every: 1.0, width: 320 };

    #[test]
    fn a_form_may_name_an_interval_or_a_rate() {
        assert_eq!(FIRST.parse(Some("2.5"), Some("seconds"), Some("160")), Ok(Settings { every: 2.5, width: 160 }));
        assert_eq!(FIRST.parse(Some("4"), Some("fps"), None), Ok(Settings { every: 0.25, width: 320 }));
        assert_eq!(FIRST.parse(None, None, None), Ok(FIRST));
    }

    #[test]
    fn what_is_no_number_never_reaches_the_arguments_of_ffmpeg() {
        for rate in ["", "nan", "inf", "-1", "0", "1e9", "1,scale=9", "1 -i /etc/passwd", "0x10"] {
            assert!(FIRST.parse(Some(rate), None, None).is_err(), "{rate}");
            assert!(FIRST.parse(Some(rate), Some("fps"), None).is_err(), "{rate}");
        }
        for width in ["", "31", "1281", "320.5", "-2", "iw"] {
            assert!(FIRST.parse(None, None, Some(width)).is_err(), "{width}");
        }
    }
}
