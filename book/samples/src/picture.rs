//! A picture of a pool over time.

use std::fmt::Write as _;

/// The pool at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Since the beginning, in seconds.
    pub at: f64,
    /// Runners that are booting.
    pub booting: usize,
    /// Slots of runners that serve.
    pub slots: usize,
    /// Those of them that are used.
    pub used: usize,
    /// Callers that wait.
    pub waiting: usize,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 16.0;
/// The height of one slot, and of one who waits.
const UNIT: f64 = 13.0;

/// One panel: a scale, and steps over time.
struct Panel {
    top: f64,
    most: usize,
    title: &'static str,
}

impl Panel {
    fn height(&self) -> f64 {
        self.most as f64 * UNIT
    }

    fn bottom(&self) -> f64 {
        self.top + self.height()
    }

    /// The area below the steps of a value.
    fn steps(&self, svg: &mut String, class: &str, moments: &[Moment], end: f64, value: impl Fn(&Moment) -> usize) {
        let x = |at: f64| LEFT + at / end * (WIDTH - LEFT - RIGHT);
        let mut path = format!("M{LEFT:.1} {:.1}", self.bottom());
        let mut last = 0;
        for moment in moments.iter().filter(|moment| moment.at <= end) {
            let value = value(moment);
            if value != last {
                let _ = write!(path, "H{:.1}V{:.1}", x(moment.at), self.bottom() - value as f64 * UNIT);
                last = value;
            }
        }
        let _ = writeln!(svg, "  <path class=\"{class}\" d=\"{path}H{:.1}V{:.1}Z\"/>", x(end), self.bottom());
    }

    fn frame(&self, svg: &mut String, every: usize) {
        let (bottom, right) = (self.bottom(), WIDTH - RIGHT);
        for value in (0..=self.most).step_by(every) {
            let y = bottom - value as f64 * UNIT;
            let _ = writeln!(svg, "  <path class=\"line\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ =
                writeln!(svg, "  <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, y + 4.0);
        }
        let middle = self.top + self.height() / 2.0;
        let _ = writeln!(svg, "  <text x=\"8\" y=\"{:.1}\" class=\"title\">{}</text>", middle + 4.0, self.title);
    }
}

/// The picture, as SVG.
///
/// # Panics
/// When there is nothing to be drawn.
pub fn draw(moments: &[Moment], about: &str) -> String {
    let end = moments.last().expect("something was recorded").at.ceil();
    let most = |value: fn(&Moment) -> usize| moments.iter().map(value).max().unwrap_or_default();
    let waiting = Panel { top: 44.0, most: most(|moment| moment.waiting).max(2), title: "waiting" };
    let booting = Panel { top: waiting.bottom() + 22.0, most: most(|moment| moment.booting).max(1), title: "booting" };
    let slots = Panel { top: booting.bottom() + 22.0, most: most(|moment| moment.slots).max(2), title: "slots" };
    let height = slots.bottom() + 56.0;

    let mut svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n");
    svg.push_str("  <!-- Drawn by book/samples/src/bin/pool_over_time.rs from a run: make picture. -->\n  <style>\n");
    svg.push_str(
        "    text { font: 12px system-ui, \"DejaVu Sans\", sans-serif; fill: #444 } .title { font-weight: 600 }\n",
    );
    svg.push_str("    .line { stroke: #ddd; fill: none } .waiting { fill: #e0a03c } .booting { fill: #9aa7b4 }\n");
    svg.push_str("    .slots { fill: #c7ddf2 } .used { fill: #2f6fb0 }\n  </style>\n");
    let _ = writeln!(svg, "  <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#fff\"/>");
    let _ = writeln!(svg, "  <text x=\"8\" y=\"22\">{about}</text>");
    waiting.frame(&mut svg, 4);
    booting.frame(&mut svg, 2);
    slots.frame(&mut svg, 2);
    waiting.steps(&mut svg, "waiting", moments, end, |moment| moment.waiting);
    booting.steps(&mut svg, "booting", moments, end, |moment| moment.booting);
    slots.steps(&mut svg, "slots", moments, end, |moment| moment.slots);
    slots.steps(&mut svg, "used", moments, end, |moment| moment.used);
    for second in 0..=end as usize {
        let x = LEFT + second as f64 / end * (WIDTH - LEFT - RIGHT);
        let _ = writeln!(
            svg,
            "  <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>",
            slots.bottom() + 18.0
        );
    }
    let legend = [
        ("waiting", "callers that wait"),
        ("booting", "runners that boot"),
        ("slots", "slots"),
        ("used", "slots in use"),
    ];
    for (nth, (class, text)) in legend.into_iter().enumerate() {
        let (x, y) = (LEFT + nth as f64 * 150.0, slots.bottom() + 34.0);
        let _ = writeln!(svg, "  <rect class=\"{class}\" x=\"{x}\" y=\"{y:.1}\" width=\"12\" height=\"12\"/>");
        let _ = writeln!(svg, "  <text x=\"{}\" y=\"{:.1}\">{text}</text>", x + 18.0, y + 10.5);
    }
    svg.push_str("</svg>\n");
    svg
}
