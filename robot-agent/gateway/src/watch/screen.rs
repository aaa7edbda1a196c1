//! The dashboard: one line a robot, and below what somebody should know.
//!
//! Knows: how a row looks. Does not know: where rows come from.

use super::Row;
use crate::words::{Level, Link};
use miette::IntoDiagnostic;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row as Cells, Table};
use std::time::Duration;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Goes,
    /// Somebody said q.
    End,
}

/// The terminal, as it was before once this is dropped.
pub struct Screen {
    terminal: ratatui::DefaultTerminal,
    /// Lines passed over from the top.
    above: usize,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// Errors: it is none.
    pub fn open() -> miette::Result<Self> {
        Ok(Self { terminal: ratatui::try_init().into_diagnostic()?, above: 0 })
    }

    /// Draws, and does what was typed since the last time.
    ///
    /// Errors: the terminal is gone.
    pub fn show(&mut self, rows: &[Row]) -> miette::Result<Next> {
        while event::poll(Duration::ZERO).into_diagnostic()? {
            let Event::Key(key) = event::read().into_diagnostic()? else { continue };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
            let ends = [KeyCode::Char('q'), KeyCode::Esc].contains(&key.code);
            if ends || (ctrl && key.code == KeyCode::Char('c')) {
                return Ok(Next::End);
            }
            if key.code == KeyCode::Down {
                self.above = self.above.saturating_add(1).min(rows.len().saturating_sub(1));
            } else if key.code == KeyCode::Up {
                self.above = self.above.saturating_sub(1);
            }
        }
        let above = self.above;
        self.terminal.draw(|frame| draw(frame, rows, above)).into_diagnostic()?;
        Ok(Next::Goes)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

const COLUMNS: [(&str, u16); 9] = [
    ("hospital", 14),
    ("room", 10),
    ("robot", 12),
    ("stage", 9),
    ("state", 9),
    ("surgeon", 14),
    ("rtt ms", 8),
    ("loop ms", 8),
    ("lost", 8),
];

fn draw(frame: &mut Frame<'_>, rows: &[Row], above: usize) {
    let alarms: Vec<Line<'_>> = rows.iter().flat_map(alarms).collect();
    let below = u16::try_from(alarms.len().clamp(1, 10)).unwrap_or(1).saturating_add(2);
    let parts = Layout::vertical([Constraint::Min(4), Constraint::Length(below)]);
    let [table, list] = parts.areas(frame.area());
    let title = match rows.len() {
        0 => " no robot is heard: are you a --reader there? ".to_owned(),
        count => format!(" {count} robots; q ends, arrows scroll "),
    };
    let head = COLUMNS.map(|(name, _)| name);
    let head = Cells::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let cells = Table::new(rows.iter().skip(above).map(cells), COLUMNS.map(|(_, width)| width));
    frame.render_widget(cells.header(head).block(Block::bordered().title(title)), table);
    let alarms = if alarms.is_empty() { vec![Line::from("none")] } else { alarms };
    frame.render_widget(Paragraph::new(alarms).block(Block::bordered().title(" alarms ")), list);
}

fn cells(row: &Row) -> Cells<'static> {
    let dash = || "-".to_owned();
    let stage = row.stage.as_ref();
    let link = row.link.as_ref();
    let ms = |us: Option<u64>| us.map_or(dash(), |us| format!("{}.{}", us / 1_000, us / 100 % 10));
    let place = &row.place;
    let cells = [
        place.hospital.clone(),
        place.room.clone(),
        place.robot.clone(),
        stage.map_or(dash(), |stage| stage.stage.clone()),
        stage.map_or(dash(), |stage| stage.operating_state.clone()),
        link.and_then(|link: &Link| link.holder.clone()).unwrap_or_else(dash),
        ms(link.and_then(|link| link.rtt_us)),
        ms(link.and_then(|link| link.loop_age_us)),
        link.map_or(dash(), |link| link.lost.to_string()),
    ];
    Cells::new(cells).style(Style::new().fg(colour(row)))
}

fn colour(row: &Row) -> Color {
    match row.alarms.first().map(|alarm| alarm.level) {
        _ if !row.heard || !row.alive => Color::DarkGray,
        Some(Level::Alarm) => Color::Red,
        Some(Level::Warning) => Color::Yellow,
        None => Color::Green,
    }
}

fn alarms(row: &Row) -> Vec<Line<'static>> {
    let (room, robot) = (&row.place.room, &row.place.robot);
    let gone = (!row.heard || !row.alive)
        .then(|| Line::from(format!("{room} {robot}: nothing is heard; what is shown is old")));
    let own = row.alarms.iter().map(|alarm| {
        let colour = if alarm.level == Level::Alarm { Color::Red } else { Color::Yellow };
        Line::styled(format!("{room} {robot}: {}", alarm.words), Style::new().fg(colour))
    });
    gone.into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Rooms;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_room_stands_in_its_line_and_its_alarm_below() {
        let mut rooms = Rooms::default();
        let base = "longhand/general/or3/davinci";
        let entry = br#"{"schema":"longhand directory v1","hospital":"general","room":"or3",
            "robot":"davinci","robot_id":7,"version":"0",
            "stage":{"schema":"longhand stage v1","robot":"davinci","wall_ns":1,"fresh":true,
            "stage":"Latched","operating_state":"PAUSED","reason":"LinkSilent","words":"w",
            "since_ns":1},
            "link":{"schema":"longhand link v1","robot":"davinci","wall_ns":1,"fresh":true,
            "connected":true,"holder":"dr-lee","fence":1,"sessions":1,"accepted":1,"rejected":0,
            "lost":17,"rtt_us":12345,"packets_sent":1,"packets_lost":0,"datagrams_received":1,
            "age_us":1,"loop_age_us":null,"playout_delay_us":1,"tap_missed":0,"tap_lost":0},
            "alarms":[{"name":"Latched","level":"alarm","words":"the robot holds"}]}"#;
        rooms.take(&format!("{base}/directory"), entry, Duration::from_secs(1));
        let mut rows = rooms.rows(Duration::from_secs(1));
        rows[0].alive = true;
        let mut terminal = Terminal::new(TestBackend::new(110, 12)).unwrap();
        terminal.draw(|frame| draw(frame, &rows, 0)).unwrap();
        let screen = terminal.backend().to_string();
        let line = screen.lines().find(|line| line.contains("davinci  ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words[1..9],
            ["or3", "davinci", "Latched", "PAUSED", "dr-lee", "12.3", "-", "17"]
        );
        assert!(screen.contains("or3 davinci: the robot holds"), "{screen}");
        assert_eq!(colour(&rows[0]), Color::Red);
        rows[0].alive = false;
        assert_eq!(colour(&rows[0]), Color::DarkGray, "old news is no colour");
    }
}
