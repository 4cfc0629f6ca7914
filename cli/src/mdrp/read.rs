//! Reads an instance: tab-separated files with a heading line each.

use std::{fs, path::Path, str::FromStr};

use anyhow::{Context as _, anyhow, bail};

/// The largest file taken; the public instances stay under 100 kB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Metres on a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Courier {
    pub(crate) name: String,
    pub(crate) point: Point,
    pub(crate) on_minute: f64,
    pub(crate) off_minute: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlacedOrder {
    pub(crate) name: String,
    pub(crate) point: Point,
    pub(crate) placed_minute: f64,
    pub(crate) restaurant: String,
    pub(crate) ready_minute: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) meters_per_minute: f64,
    pub(crate) pickup_service_minutes: f64,
    pub(crate) dropoff_service_minutes: f64,
    pub(crate) target_click_to_door_minutes: f64,
}

/// One instance, in the order of its files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) restaurants: Vec<(String, Point)>,
    pub(crate) couriers: Vec<Courier>,
    pub(crate) orders: Vec<PlacedOrder>,
    pub(crate) parameters: Parameters,
}

impl Instance {
    /// Every place of the instance.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> {
        let restaurants = self.restaurants.iter().map(|(_, point)| *point);
        let couriers = self.couriers.iter().map(|courier| courier.point);
        restaurants.chain(couriers).chain(self.orders.iter().map(|order| order.point))
    }
}

/// Reads the instance in a directory.
pub(crate) fn read(directory: &Path) -> anyhow::Result<Instance> {
    let point = |row: &Row<'_>| Ok::<_, anyhow::Error>(Point { x: row.number("x")?, y: row.number("y")? });
    let restaurants = rows(directory, "restaurants.txt", |row| Ok((row.name("restaurant")?, point(row)?)))?;
    let couriers = rows(directory, "couriers.txt", |row| {
        Ok(Courier {
            name: row.name("courier")?,
            point: point(row)?,
            on_minute: row.number("on_time")?,
            off_minute: row.number("off_time")?,
        })
    })?;
    let orders = rows(directory, "orders.txt", |row| {
        Ok(PlacedOrder {
            name: row.name("order")?,
            point: point(row)?,
            placed_minute: row.number("placement_time")?,
            restaurant: row.name("restaurant")?,
            ready_minute: row.number("ready_time")?,
        })
    })?;
    let parameters = rows(directory, "instance_parameters.txt", |row| {
        Ok(Parameters {
            meters_per_minute: row.number("meters_per_minute")?,
            pickup_service_minutes: row.number("pickup service minutes")?,
            dropoff_service_minutes: row.number("dropoff service minutes")?,
            target_click_to_door_minutes: row.number("target click-to-door")?,
        })
    })?;
    let parameters = parameters.into_iter().next().ok_or_else(|| anyhow!("instance_parameters.txt has no values"))?;
    Ok(Instance { restaurants, couriers, orders, parameters })
}

/// A line under its headings.
struct Row<'t> {
    headings: &'t [&'t str],
    cells: Vec<&'t str>,
}

impl Row<'_> {
    fn cell(&self, heading: &str) -> anyhow::Result<&str> {
        let column = self.headings.iter().position(|found| *found == heading);
        let column = column.ok_or_else(|| anyhow!("there is no column {heading:?}"))?;
        self.cells.get(column).copied().ok_or_else(|| anyhow!("column {heading:?} is missing"))
    }

    fn number(&self, heading: &str) -> anyhow::Result<f64> {
        let cell = self.cell(heading)?;
        let number = f64::from_str(cell).ok().filter(|number| number.is_finite());
        number.ok_or_else(|| anyhow!("column {heading:?} is {cell:?}, not a number"))
    }

    /// The name of an object: what the instance calls it, in lower case.
    fn name(&self, heading: &str) -> anyhow::Result<String> {
        let name = self.cell(heading)?.to_lowercase();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) || name.starts_with('-') || name.ends_with('-')
        {
            bail!("column {heading:?} is {name:?}, which cannot be an object's name");
        }
        Ok(name)
    }
}

fn rows<T>(directory: &Path, file: &str, read: impl Fn(&Row<'_>) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    let path = directory.join(file);
    let shown = path.display();
    let size = path.metadata().with_context(|| format!("cannot read {shown}"))?.len();
    if size > MAX_FILE_BYTES {
        bail!("{shown} has {size} bytes, more than any instance");
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let headings: Vec<&str> =
        lines.next().map(|(_, line)| line.split('\t').map(str::trim).collect()).unwrap_or_default();
    lines
        .map(|(index, line)| {
            let row = Row { headings: &headings, cells: line.split('\t').map(str::trim).collect() };
            read(&row).with_context(|| format!("{shown}:{}", index + 1))
        })
        .collect()
}
