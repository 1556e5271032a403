// The table of trials: unpacks what the page carries, then searches, filters, sorts and turns pages in it.
// The view stands in the address behind "#", so that it can be shared. Data become text nodes, never markup.
(() => {
  const section = document.getElementById("trials");
  const packed = document.getElementById("trials-packed");
  if (!section || !packed) return;

  const PAGE_ROWS = 50;
  const PREVIEW_CHARACTERS = 220;
  const STATUSES = ["succeeded", "failed", "blocked", "skipped"];
  const DEFAULTS = { q: "", experiment: "", status: "", against: "", score: "0", from: "", to: "", sort: "", page: "1", open: "" };
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const part = (name) => section.querySelector(`[data-part="${name}"]`);
  const controls = [...section.querySelectorAll("[data-state]")];
  const [table, tally, pages] = [part("table"), part("tally"), part("pages")];
  let data, columns, siblings, found = [], state = { ...DEFAULTS };

  // A trial is [row, experiment, repeat, status, scores, answers, reasons, failure, seconds, cost], a row [number, id, fields].
  const rowOf = (trial) => data.rows[trial[0]];
  const siblingOf = (trial, experiment) =>
    siblings.get(`${trial[0]}/${experiment}/${trial[2]}`) ?? siblings.get(`${trial[0]}/${experiment}/0`);

  async function unpack(text) {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  function bytesOf(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const binary = atob(base64);
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
    return bytes;
  }

  // -- elements

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const foreign = (text, tag = "span") => element(tag, { class: "foreign" }, text);
  const counted = (number) => number.toLocaleString("en-US");

  function scoreText(value, kind) {
    if (value === null || value === undefined) return "–";
    if (kind === "binary" && (value === 0 || value === 1)) return value ? "✓ pass" : "✗ fail";
    return String(Number(value.toPrecision(6))).replace("-", "−");
  }

  function scoreElement(value, score) {
    const tone = score.kind === "binary" && value !== null ? (value ? "right" : "wrong") : "";
    return element("span", { class: tone }, scoreText(value, score.kind));
  }

  const statusElement = (trial) => element("span", { class: `state ${STATUSES[trial[3]]}` }, STATUSES[trial[3]]);

  function preview(trial) {
    const text = trial[7] ?? trial[5].map((answer) => answer[1]).join(" · ");
    return text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)}…` : text;
  }

  // -- columns

  function makeColumns() {
    const named = (trial) => data.experiments[trial[1]];
    return [
      { key: "row", label: "Row", sorted: (t) => rowOf(t)[0], cell: rowCell, heads: true },
      { key: "experiment", label: "Experiment", sorted: (t) => t[1], cell: (t) => foreign(named(t)) },
      ...(data.repeated ? [{ key: "repeat", label: "Repeat", number: true, sorted: (t) => t[2], cell: (t) => String(t[2] + 1) }] : []),
      { key: "status", label: "Status", sorted: (t) => t[3], cell: statusElement },
      ...data.scores.map((score, at) => ({
        key: `score${at}`, label: score.name, number: true, sorted: (t) => t[4][at], cell: (t) => scoreElement(t[4][at], score),
      })),
      { key: "answer", label: "Answer", sorted: preview, cell: (t) => element("div", { class: "foreign preview" }, preview(t)) },
      { key: "time", label: "Time", number: true, sorted: (t) => t[8], cell: (t) => (t[8] === null ? "–" : `${t[8].toFixed(2)}\u00a0s`) },
    ];
  }

  function rowCell(trial, index) {
    const opened = isOpen(index);
    const attributes = { type: "button", class: "opener", "aria-expanded": String(opened), "data-trial": String(index) };
    if (opened) attributes["aria-controls"] = `trial-${index}`;
    return element("button", attributes, foreign(rowOf(trial)[1]));
  }

  // -- finding

  const haystacks = { rows: [], trials: [] };

  function rowHaystack(at) {
    return (haystacks.rows[at] ??= [data.rows[at][1], ...data.rows[at][2]].join("\n").toLowerCase());
  }

  function trialHaystack(index) {
    const trial = data.trials[index];
    const texts = [...trial[5].map((answer) => answer[1]), ...trial[6].filter(Boolean), trial[7] ?? ""];
    return (haystacks.trials[index] ??= texts.join("\n").toLowerCase());
  }

  function matchesText(index, words) {
    return words.every((word) => rowHaystack(data.trials[index][0]).includes(word) || trialHaystack(index).includes(word));
  }

  function matchesAgainst(trial) {
    if (!state.against) return true;
    const other = siblingOf(trial, 0);
    if (trial[1] === 0 || !other) return false;
    const [mine, theirs] = [trial[4][+state.score], other[4][+state.score]];
    if (!data.scores.length) return state.against === "differs" && preview(trial) !== preview(other);
    if (mine === null || theirs === null || mine === theirs) return false;
    return state.against === "differs" || (state.against === "higher" ? mine > theirs : mine < theirs);
  }

  function matchesRange(trial) {
    if (state.from === "" && state.to === "") return true;
    const value = trial[4][+state.score];
    if (value === null || value === undefined) return false;
    return (state.from === "" || value >= +state.from) && (state.to === "" || value <= +state.to);
  }

  function matchesStatus(trial) {
    if (!state.status) return true;
    if (state.status === "unanswered") return trial[3] !== 0;
    if (state.status === "unscored") return trial[3] === 0 && trial[4].includes(null);
    return STATUSES[trial[3]] === state.status;
  }

  function find() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (trial, index) =>
      (state.experiment === "" || trial[1] === +state.experiment) &&
      matchesStatus(trial) && matchesRange(trial) && matchesAgainst(trial) && matchesText(index, words);
    found = [];
    data.trials.forEach((trial, index) => matches(trial, index) && found.push(index));
    sortFound();
  }

  function sortFound() {
    const column = columns.find((one) => one.key === state.sort.replace("-", ""));
    if (!column) return;
    const turned = state.sort.startsWith("-") ? -1 : 1;
    const keys = new Map(found.map((index) => [index, column.sorted(data.trials[index])]));
    found.sort((a, b) => compare(keys.get(a), keys.get(b), turned) || a - b);
  }

  function compare(a, b, turned) {
    const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
    if (noA || noB) return noA - noB; // what has no value stands last, whichever way
    return turned * (typeof a === "number" ? a - b : collator.compare(a, b));
  }

  // -- showing

  const pageCount = () => Math.max(1, Math.ceil(found.length / PAGE_ROWS));
  const isOpen = (index) => state.open.split(".").includes(String(index));

  function show() {
    state.page = String(Math.min(Math.max(1, Math.floor(+state.page) || 1), pageCount()));
    const first = (+state.page - 1) * PAGE_ROWS;
    const shown = found.slice(first, first + PAGE_ROWS);
    table.tBodies[0].replaceChildren(...shown.flatMap(linesOf));
    const those = found.length === data.trials.length ? "" : ` of ${counted(data.trials.length)}`;
    const range = found.length ? `, ${counted(first + 1)} to ${counted(first + shown.length)} shown` : "";
    tally.textContent = `${counted(found.length)}${those} trial${found.length === 1 && !those ? "" : "s"}${range}`;
    showPages();
    showSorting();
    controls.forEach((control) => (control.value = state[control.dataset.state]));
  }

  function linesOf(index) {
    const trial = data.trials[index];
    const cells = columns.map((column) => {
      const kind = [column.number ? "number" : "", `of-${column.key.replace(/\d+$/, "")}`].join(" ").trim();
      const attributes = { class: kind, "data-label": column.label, scope: column.heads ? "row" : null };
      return element(column.heads ? "th" : "td", attributes, column.cell(trial, index));
    });
    const line = element("tr", { class: isOpen(index) ? "trial open" : "trial", "data-trial": String(index) }, ...cells);
    return isOpen(index) ? [line, detailOf(index)] : [line];
  }

  function detailOf(index) {
    const trial = data.trials[index];
    const others = data.experiments.map((_, at) => at).filter((at) => (trial[1] === 0 ? at !== 0 : at === 0));
    const sides = others.map((at) => siblingOf(trial, at)).filter(Boolean).map(sideOf);
    const ordered = trial[1] === 0 ? [sideOf(trial), ...sides] : [...sides, sideOf(trial)];
    const inside = element("div", { class: "sides" }, ...ordered);
    const cell = element("td", { colspan: String(columns.length) }, fieldsOf(rowOf(trial)), inside);
    return element("tr", { class: "detail", id: `trial-${index}` }, cell);
  }

  function fieldsOf(row) {
    const pairs = row[2].map((text, at) => [data.columns[at], text]).filter(([, text]) => text !== "");
    const lines = pairs.map(([name, text]) => element("div", {}, foreign(name, "dt"), foreign(text, "dd")));
    return element("dl", { class: "fields" }, element("div", {}, element("dt", {}, "row"), element("dd", {}, counted(row[0]))), ...lines);
  }

  function sideOf(trial) {
    const name = data.experiments[trial[1]] + (trial[1] === 0 ? " (baseline)" : "");
    const head = element("p", { class: "who" }, foreign(name, "b"), statusElement(trial));
    const scores = data.scores.map((score, at) =>
      element("span", {}, foreign(score.name), " ", scoreElement(trial[4][at], score), trial[6][at] ? foreign(`: ${trial[6][at]}`) : null));
    const answers = trial[5].flatMap(([criterion, text]) => [
      data.criteria.length > 1 ? element("p", { class: "who" }, foreign(data.criteria[criterion])) : null,
      element("pre", { class: "foreign", tabindex: "0" }, text),
    ]);
    const failure = trial[7] === null ? null : element("pre", { class: "foreign failure", tabindex: "0" }, trial[7]);
    const given = scores.length && trial[3] === 0 ? element("p", { class: "given" }, ...scores) : null;
    return element("div", { class: "side" }, head, given, ...answers, failure);
  }

  function showPages() {
    const [page, last] = [+state.page, pageCount()];
    part("page").textContent = `Page ${counted(page)} of ${counted(last)}`;
    pages.querySelectorAll("button").forEach((button) => {
      button.disabled = button.dataset.turn.startsWith("-") ? page === 1 : page === last;
    });
  }

  function showSorting() {
    [...table.tHead.rows[0].cells].forEach((heading, at) => {
      const [key, down] = [columns[at].key, `-${columns[at].key}`];
      heading.removeAttribute("aria-sort");
      if (state.sort === key) heading.setAttribute("aria-sort", "ascending");
      if (state.sort === down) heading.setAttribute("aria-sort", "descending");
    });
  }

  function showHead() {
    const headings = columns.map((column) => {
      const button = element("button", { type: "button", "data-sort": column.key }, foreign(column.label));
      return element("th", { scope: "col", class: column.number ? "number" : "" }, button);
    });
    table.tHead.rows[0].replaceChildren(...headings);
    part("experiments").append(...data.experiments.map((name, at) => element("option", { value: String(at) }, name)));
    part("scores").append(...data.scores.map((score, at) => element("option", { value: String(at) }, score.name)));
    section.querySelectorAll("[data-needs-scores]").forEach((one) => (one.hidden = !data.scores.length));
    section.querySelectorAll("[data-needs-variants]").forEach((one) => (one.hidden = data.experiments.length < 2));
  }

  // -- state

  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    if (!location.hash.includes("=")) return false;
    state = { ...DEFAULTS };
    for (const name of Object.keys(DEFAULTS)) if (given.has(name)) state[name] = given.get(name);
    return true;
  }

  function writeAddress() {
    const kept = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
    history.replaceState(null, "", `#${kept.length ? new URLSearchParams(kept) : "trials"}`);
  }

  function change(changes) {
    state = { ...state, page: "1", open: "", ...changes };
    find();
    show();
    writeAddress();
  }

  function turn(by) {
    state = { ...state, page: String(+state.page + Number(by)), open: "" };
    show();
    writeAddress();
    table.scrollIntoView({ block: "start" });
  }

  function toggle(index) {
    const opened = state.open.split(".").filter(Boolean);
    const kept = opened.filter((one) => one !== String(index));
    state.open = (kept.length < opened.length ? kept : [...opened, String(index)]).join(".");
    show();
    table.querySelector(`button[data-trial="${index}"]`)?.focus({ preventScroll: true });
    writeAddress();
  }

  // -- keys and clicks

  function moveFocus(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const openers = [...table.querySelectorAll(".opener")];
    const at = openers.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    openers[at + step]?.focus();
  }

  function clicked(event) {
    const heading = event.target.closest("[data-sort]");
    if (heading) return change({ sort: state.sort === heading.dataset.sort ? `-${heading.dataset.sort}` : heading.dataset.sort });
    const line = event.target.closest("tr.trial");
    if (line && !String(getSelection())) toggle(line.dataset.trial);
  }

  function listen() {
    table.addEventListener("click", clicked);
    table.addEventListener("keydown", moveFocus);
    for (const control of controls) {
      control.addEventListener("input", () => change({ [control.dataset.state]: control.value }));
    }
    pages.addEventListener("click", (event) => event.target.dataset.turn && turn(event.target.dataset.turn));
    part("clear").addEventListener("click", () => change({ ...DEFAULTS }));
    addEventListener("hashchange", () => readAddress() && (find(), show()));
    addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
      event.preventDefault();
      part("search").focus();
    });
  }

  async function begin() {
    data = await unpack(packed.textContent.trim());
    packed.remove();
    columns = makeColumns();
    siblings = new Map(data.trials.map((trial) => [`${trial[0]}/${trial[1]}/${trial[2]}`, trial]));
    showHead();
    const asked = readAddress();
    find();
    show();
    listen();
    part("browser").hidden = false;
    section.dataset.ready = String(Math.round(performance.now()));
    if (asked) section.scrollIntoView();
  }

  begin().catch((error) => {
    tally.textContent = `The table of trials could not be opened here (${error.message}). results.csv has every trial.`;
  });
})();
