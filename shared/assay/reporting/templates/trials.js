// The table of trials: unpacks what the page carries, then searches, filters, sorts and turns pages in it.
// The view stands in the address behind "#", so that it can be shared. Data become text nodes, never markup.
(() => {
  const section = document.getElementById("trials");
  const packed = document.getElementById("trials-packed");
  if (!section || !packed) return;

  const PAGE_ROWS = 50;
  const PREVIEW_CHARACTERS = 220;
  const DEFAULTS = { q: "", experiment: "", status: "", against: "", score: "0", from: "", to: "", sort: "", page: "1", open: "" };
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const part = (name) => section.querySelector(`[data-part="${name}"]`);
  const controls = [...section.querySelectorAll("[data-state]")];
  const [table, tally, pages] = [part("table"), part("tally"), part("pages")];
  // `trials` and `rows` are columns; a trial and a row are places in them. The experiment 0 is the baseline.
  let data, trials, rows, columns, siblings, found = [], state = { ...DEFAULTS };

  const statusOf = (trial) => data.statuses[trials.status[trial]];
  const scoreOf = (trial, score) => trials.scores[score]?.[trial] ?? null;
  const siblingOf = (trial, experiment) =>
    siblings.get(`${trials.row[trial]}/${experiment}/${trials.repeat[trial]}`) ?? siblings.get(`${trials.row[trial]}/${experiment}/1`);

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

  const statusElement = (trial) => element("span", { class: `state ${statusOf(trial)}` }, statusOf(trial));

  const failureText = (trial) => (trials.failure[trial] ? `${trials.failure[trial]}: ${trials.message[trial]}` : "");

  const answersOf = (trial) => trials.answers.map((column, at) => [data.criteria[at], column[trial]]).filter(([, text]) => text);

  function preview(trial) {
    const text = failureText(trial) || answersOf(trial).map(([, answer]) => answer).join(" · ");
    return text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)}…` : text;
  }

  // -- columns

  function makeColumns() {
    const seconds = (trial) => (trials.seconds[trial] === null ? "–" : `${trials.seconds[trial].toFixed(2)}\u00a0s`);
    return [
      { key: "row", label: "Row", sorted: (t) => rows.number[trials.row[t]], cell: rowCell, heads: true },
      { key: "experiment", label: "Experiment", sorted: (t) => trials.experiment[t], cell: (t) => foreign(data.experiments[trials.experiment[t]]) },
      ...(data.repeated ? [{ key: "repeat", label: "Repeat", number: true, sorted: (t) => trials.repeat[t], cell: (t) => String(trials.repeat[t]) }] : []),
      { key: "status", label: "Status", sorted: (t) => trials.status[t], cell: statusElement },
      ...data.scores.map((score, at) => ({
        key: `score${at}`, label: score.name, number: true, sorted: (t) => scoreOf(t, at), cell: (t) => scoreElement(scoreOf(t, at), score),
      })),
      { key: "answer", label: "Answer", sorted: preview, cell: (t) => element("div", { class: "foreign preview" }, preview(t)) },
      { key: "time", label: "Time", number: true, sorted: (t) => trials.seconds[t], cell: seconds },
    ];
  }

  function rowCell(trial) {
    const opened = isOpen(trial);
    const attributes = { type: "button", class: "opener", "aria-expanded": String(opened), "data-trial": String(trial) };
    if (opened) attributes["aria-controls"] = `trial-${trial}`;
    return element("button", attributes, foreign(rows.id[trials.row[trial]]));
  }

  // -- finding

  const haystacks = { rows: [], trials: [] };

  function rowHaystack(row) {
    return (haystacks.rows[row] ??= [rows.id[row], rows.expected[row], ...rows.fields[row]].join("\n").toLowerCase());
  }

  function trialHaystack(trial) {
    const reasons = trials.reasons.map((column) => column[trial]);
    const texts = [...answersOf(trial).map(([, text]) => text), ...reasons, failureText(trial)];
    return (haystacks.trials[trial] ??= texts.join("\n").toLowerCase());
  }

  function matchesText(trial, words) {
    return words.every((word) => rowHaystack(trials.row[trial]).includes(word) || trialHaystack(trial).includes(word));
  }

  function matchesAgainst(trial) {
    if (!state.against) return true;
    const other = siblingOf(trial, 0);
    if (trials.experiment[trial] === 0 || other === undefined) return false;
    if (!data.scores.length) return state.against === "differs" && preview(trial) !== preview(other);
    const [mine, theirs] = [scoreOf(trial, +state.score), scoreOf(other, +state.score)];
    if (mine === null || theirs === null || mine === theirs) return false;
    return state.against === "differs" || (state.against === "higher" ? mine > theirs : mine < theirs);
  }

  function matchesRange(trial) {
    if (state.from === "" && state.to === "") return true;
    const value = scoreOf(trial, +state.score);
    if (value === null) return false;
    return (state.from === "" || value >= +state.from) && (state.to === "" || value <= +state.to);
  }

  function matchesStatus(trial) {
    if (!state.status) return true;
    if (state.status === "unanswered") return statusOf(trial) !== "succeeded";
    if (state.status === "unscored") return statusOf(trial) === "succeeded" && trials.scores.some((column) => column[trial] === null);
    return statusOf(trial) === state.status;
  }

  function find() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (trial) =>
      (state.experiment === "" || trials.experiment[trial] === +state.experiment) &&
      matchesStatus(trial) && matchesRange(trial) && matchesAgainst(trial) && matchesText(trial, words);
    found = [...trials.row.keys()].filter(matches);
    sortFound();
  }

  function sortFound() {
    const column = columns.find((one) => one.key === state.sort.replace("-", ""));
    if (!column) return;
    const turned = state.sort.startsWith("-") ? -1 : 1;
    const keys = new Map(found.map((trial) => [trial, column.sorted(trial)]));
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
    const those = found.length === trials.row.length ? "" : ` of ${counted(trials.row.length)}`;
    const range = found.length > PAGE_ROWS ? `, ${counted(first + 1)} to ${counted(first + shown.length)} shown` : "";
    tally.textContent = `${counted(found.length)}${those} trial${trials.row.length === 1 ? "" : "s"}${range}`;
    showPages();
    showSorting();
    controls.forEach((control) => (control.value = state[control.dataset.state]));
  }

  function linesOf(trial) {
    const cells = columns.map((column) => {
      const kind = `${column.number ? "number " : ""}of-${column.key.replace(/\d+$/, "")}`;
      const attributes = { class: kind, "data-label": column.label, scope: column.heads ? "row" : null };
      return element(column.heads ? "th" : "td", attributes, column.cell(trial));
    });
    const line = element("tr", { class: isOpen(trial) ? "trial open" : "trial", "data-trial": String(trial) }, ...cells);
    return isOpen(trial) ? [line, detailOf(trial)] : [line];
  }

  function detailOf(trial) {
    const isBaseline = trials.experiment[trial] === 0;
    const others = data.experiments.map((_, at) => at).filter((at) => (isBaseline ? at !== 0 : at === 0));
    const sides = others.map((at) => siblingOf(trial, at)).filter((one) => one !== undefined).map(sideOf);
    const ordered = isBaseline ? [sideOf(trial), ...sides] : [...sides, sideOf(trial)];
    const inside = element("div", { class: "sides" }, ...ordered);
    const cell = element("td", { colspan: String(columns.length) }, fieldsOf(trials.row[trial]), inside);
    return element("tr", { class: "detail", id: `trial-${trial}` }, cell);
  }

  function fieldsOf(row) {
    const expected = rows.expected[row] ? [["expected", rows.expected[row]]] : [];
    const fields = rows.fields[row].map((text, at) => [rows.columns[at], text]).filter(([, text]) => text !== "");
    const line = ([name, text]) => element("div", { class: text.length > 100 ? "long" : "" }, foreign(name, "dt"), foreign(text, "dd"));
    return element("dl", { class: "fields" }, ...[["row", counted(rows.number[row])], ...expected, ...fields].map(line));
  }

  function sideOf(trial) {
    const isBaseline = trials.experiment[trial] === 0;
    const name = data.experiments[trials.experiment[trial]] + (isBaseline ? " (baseline)" : "");
    const answers = answersOf(trial).flatMap(([criterion, text]) => [
      data.criteria.length > 1 ? element("p", { class: "who" }, foreign(criterion)) : null,
      element("pre", { class: "foreign", tabindex: "0" }, text),
    ]);
    const failure = failureText(trial) ? element("pre", { class: "foreign failure", tabindex: "0" }, failureText(trial)) : null;
    const head = element("p", { class: "who" }, foreign(name, "b"), statusElement(trial));
    return element("div", { class: "side" }, head, ...scoresOf(trial), ...answers.filter(Boolean), failure, spentOn(trial));
  }

  function scoresOf(trial) {
    if (statusOf(trial) !== "succeeded") return [];
    return data.scores.map((score, at) => {
      const reason = trials.reasons[at][trial];
      return element("p", { class: reason ? "given reasoned" : "given" }, foreign(score.name), " ", scoreElement(scoreOf(trial, at), score), reason ? foreign(` ${reason}`) : null);
    });
  }

  function spentOn(trial) {
    const [seconds, usd] = [trials.seconds[trial], trials.usd[trial]];
    const parts = [seconds === null ? "" : `${seconds.toFixed(2)}\u00a0s`, usd === null ? "" : `${usd}\u00a0USD`];
    return element("p", { class: "spent" }, parts.filter(Boolean).join(" · "));
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
    ({ trials, rows } = data);
    columns = makeColumns();
    siblings = new Map(trials.row.map((row, trial) => [`${row}/${trials.experiment[trial]}/${trials.repeat[trial]}`, trial]));
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
