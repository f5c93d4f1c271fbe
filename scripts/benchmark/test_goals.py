"""What the page says of the goals: `python3 -B -m unittest discover -s scripts/benchmark`."""

import unittest

import goals
import plot
from results import Results


class Goals(unittest.TestCase):
    def setUp(self):
        self.results = Results()

    def said(self, text):
        line, = [line for line in goals.table(self.results) if line.startswith(f"| {text}")]
        return [cell.strip() for cell in line.split("|")[2:4]]

    def test_more_than_the_most_falls_short(self):
        self.results.add("size", "ours", (5.9, True))
        self.assertEqual(self.said("binary"), ["5.9 MB", "met"])
        self.results.add("size", "ours", (6.1, True))
        self.assertEqual(self.said("binary"), ["6.1 MB", "**falls short**"])

    def test_fewer_times_than_the_least_falls_short(self):
        self.results.add("rate 8", "ours", 120)
        self.results.add("rate 8", "peer", 10)
        self.results.add("rate 8", "axum", 130)
        self.assertEqual(self.said("requests a second, 8 connections: 12"), ["12.0 ×", "met"])
        self.assertEqual(self.said("requests a second, 8 connections: no"), ["0.92 ×", "**falls short**"])

    def test_less_is_better_of_memory(self):
        self.results.add("idle", "ours", 4)
        self.results.add("idle", "peer", 400)
        self.assertEqual(self.said("memory idle"), ["100 ×", "met"])

    def test_rounding_hides_no_shortfall(self):
        self.results.add("idle", "ours", 4.004)
        self.assertEqual(self.said("idle below"), ["4.004 MB", "**falls short**"])

    def test_what_was_not_measured_is_neither(self):
        self.assertEqual(self.said("binary"), ["", "not measured"])
        self.assertIn("0 of 15 goals are met; 0 fall short.", goals.table(self.results)[0])

    def test_streams_that_did_not_end_well_fall_short(self):
        for ended, said in ((1000, ["20.0 MB", "met"]), (999, ["failed", "**falls short**"])):
            self.results.add("held 1000", "ours", {"opened": 1000, "ended": ended, "during": 20})
            self.assertEqual(self.said("1,000 streams"), said)


class Plot(unittest.TestCase):
    def test_bars_end_where_their_value_lies(self):
        panel = plot.Panel("", [("ten", 10, None), ("half", 0.5, 1)], (1, 10))
        self.assertAlmostEqual(panel.place(10) - panel.place(1), panel.place(1) - panel.place(0.1))
        better, worse = (line for line in panel.draw(0) if line.startswith("<rect"))
        self.assertIn(f'x="{panel.place(1):.1f}"', better)
        self.assertIn(f'width="{panel.place(10) - panel.place(1):.1f}"', better)
        self.assertIn(f'class="short" x="{panel.place(0.5):.1f}"', worse)

    def test_what_was_not_measured_has_no_bar(self):
        self.assertEqual(plot.Panel("", [("none", None, 12)], (1, 10)).bars, [])


if __name__ == "__main__":
    unittest.main()
