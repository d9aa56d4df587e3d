//! The frame of a chart: two axes, grid lines, tick labels, and the way from values to pixels.

use crate::axis::Axis;
use crate::html::escape;

/// Width of one character of a tick label, in pixels of the drawing.
const CHARACTER: f64 = 6.2;
const TOP: f64 = 8.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 36.0;

/// Axes laid out on a drawing of a given size. A drawing is 360 wide: about a phone, and a third of a page.
#[derive(Debug)]
pub(crate) struct Frame {
    width: f64,
    height: f64,
    left: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Frame {
    /// Leaves room on the left for the longest tick label.
    pub(crate) fn new(width: f64, height: f64, x: Axis, y: Axis) -> Frame {
        let longest = y.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        Frame { width, height, left: 10.0 + CHARACTER * longest as f64, x, y }
    }

    /// Pixel column of a value.
    pub(crate) fn px(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * (self.width - RIGHT - self.left)
    }

    /// Pixel row of a value; rows count down.
    pub(crate) fn py(&self, y: f64) -> f64 {
        self.bottom() - self.y.share(y) * (self.bottom() - TOP)
    }

    /// Row of the lower axis.
    pub(crate) fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    /// `x,y` of a point, to a tenth of a pixel.
    pub(crate) fn point(&self, (x, y): (f64, f64)) -> String {
        format!("{:.1},{:.1}", self.px(x), self.py(y))
    }

    /// The drawing: grid and labels around a body of marks. `description` is for those who cannot see it.
    pub(crate) fn svg(&self, description: &str, x_title: &str, body: &str) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">\n{}{}{body}\n</svg>",
            escape(description),
            self.y_axis(),
            self.x_axis(x_title),
        )
    }

    fn y_axis(&self) -> String {
        let (left, right) = (self.left, self.width - RIGHT);
        let line = |(value, label): &(f64, String)| {
            let y = self.py(*value);
            format!(
                "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                left - 6.0,
                y + 4.0,
                escape(label),
            )
        };
        self.y.ticks.iter().map(line).collect()
    }

    fn x_axis(&self, title: &str) -> String {
        let (left, right, y) = (self.left, self.width - RIGHT, self.bottom());
        let mut svg = format!(
            "<line class=\"axis\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n"
        );
        for (value, label) in &self.x.ticks {
            let x = self.px(*value);
            // A label must not leave the drawing on the right.
            let half = 0.5 * CHARACTER * label.chars().count() as f64;
            svg += &format!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                x.min(self.width - half),
                y + 16.0,
                escape(label),
            );
        }
        svg + &format!(
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            0.5 * (left + right),
            self.height - 5.0,
            escape(title),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_axes_are_the_corners_of_the_plot() {
        let frame = Frame::new(360.0, 200.0, Axis::exact(0.0, 10.0, 5), Axis::values(0.0, 1.0, 4));
        assert_eq!(frame.px(10.0), 348.0);
        assert_eq!(frame.py(0.0), frame.bottom());
        assert_eq!(frame.py(1.0), TOP);
    }
}
