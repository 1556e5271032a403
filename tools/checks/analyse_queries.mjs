// Analyses Kusto queries against declared tables: node analyse_queries.mjs TABLES.json QUERY.kql...
// Prints per query, as JSON: errors, columns of the result, and what each pipeline reads of a table. Exits with 1 on errors.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const require = createRequire(import.meta.url);
globalThis.Bridge = require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const { GlobalState, KustoCode, Symbols, Syntax } = globalThis.Kusto.Language;

const NO_COMPARISON = ["And", "Or", "Add", "Subtract", "Multiply", "Divide", "Modulo"];
const [tablesFile, ...queryFiles] = process.argv.slice(2);
const globals = declared(JSON.parse(readFileSync(tablesFile, "utf8")).tables);
const analyses = Object.fromEntries(queryFiles.map((file) => [basename(file), analysed(readFileSync(file, "utf8"))]));
console.log(JSON.stringify(analyses, null, 1));
for (const [file, { errors }] of Object.entries(analyses))
  for (const { line, code, message } of errors) console.error(`${file}:${line}: ${code} ${message}`);
process.exit(Object.values(analyses).some(({ errors }) => errors.length) ? 1 : 0);

function declared(tables) {
  const symbols = Object.entries(tables).map(([name, columns]) => {
    const schema = Object.entries(columns).map(([column, type]) => `['${column}']: ${type}`);
    return new Symbols.TableSymbol.$ctor7(name, `(${schema.join(", ")})`, null); // (name, schema, description)
  });
  return GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));
}

function analysed(text) {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  return { errors: errorsOf(code, text), columns: columnsOf(code.ResultType), reads: pipelines(code.Syntax).map(readOf) };
}

function errorsOf(code, text) {
  const lineOf = (start) => text.slice(0, start).split("\n").length;
  return listed(code.GetDiagnostics()).map((found) => ({ line: lineOf(found.Start), code: found.Code, message: found.Message }));
}

function columnsOf(result) {
  if (!result?.Columns) return {};
  return Object.fromEntries(listed(result.Columns).map((column) => [column.Name, column.Type.Name]));
}

/**
 * What a pipeline takes from its tables: keys of their dynamic columns, and the literals that columns and the values of
 * keys are compared with, null for what is worked out, with a * after what they only begin with. A column that was made
 * of one key counts as that key.
 */
function readOf(pipeline) {
  const read = { tables: tablesOf(pipeline), columns: {}, values: {}, keys: [] };
  const nodes = [...within(pipeline)];
  const keyOfColumn = aliases(nodes);
  for (const node of nodes) {
    if (node instanceof Syntax.ElementExpression || node instanceof Syntax.PathExpression) read.keys.push(keyOf(node));
    for (const [side, literals] of comparisons(node)) {
      const column = columnOf(side);
      const key = keyOf(side) ?? keyOfColumn.get(column);
      if (key) (read.values[key] ??= []).push(...literals);
      else if (column) (read.columns[column] ??= []).push(...literals);
    }
  }
  return read;
}

function tablesOf(pipeline) {
  let source = pipeline;
  while (source instanceof Syntax.PipeExpression) source = source.Expression;
  const symbols = [source, ...descendants(source)].map((node) => node.ReferencedSymbol);
  return symbols.filter((symbol) => symbol instanceof Symbols.TableSymbol).map((table) => table.Name);
}

function comparisons(node) {
  const isList = node instanceof Syntax.InExpression || node instanceof Syntax.HasAnyExpression;
  if (isList) return [[node.Left, listed(node.Right.Expressions).map((one) => literal(one.Element$1))]];
  if (!(node instanceof Syntax.BinaryExpression) || NO_COMPARISON.includes(node.ReferencedSymbol?.Name)) return [];
  const more = node.ReferencedSymbol?.Name.startsWith("StartsWith") ? "*" : "";
  const marked = (value) => (value === null ? null : value + more);
  return [
    [node.Left, [marked(literal(node.Right))]],
    [node.Right, [marked(literal(node.Left))]],
  ];
}

function literal(node) {
  return node instanceof Syntax.LiteralExpression ? String(node.LiteralValue) : null;
}

function columnOf(node) {
  return node instanceof Syntax.NameReference && node.ReferencedSymbol instanceof Symbols.ColumnSymbol ? node.SimpleName : undefined;
}

/** The key in `Properties['key']`, also inside a conversion; null for a key that is worked out. */
function keyOf(node) {
  if (node instanceof Syntax.FunctionCallExpression && node.ArgumentList.Expressions.Count === 1)
    return keyOf(node.ArgumentList.Expressions.getItem(0).Element$1);
  if (!columnOf(node.Expression)) return undefined;
  if (node instanceof Syntax.PathExpression) return node.Selector.SimpleName ?? null;
  return node instanceof Syntax.ElementExpression ? literal(node.Selector.Expression) : undefined;
}

/** Which column stands for which key, in the order of the query: a column made of such a column, too. */
function aliases(nodes) {
  const keys = new Map();
  for (const node of nodes.filter((one) => one instanceof Syntax.SimpleNamedExpression)) {
    const key = keyOf(node.Expression) ?? keys.get(columnOf(node.Expression));
    if (key) keys.set(node.Name.SimpleName, key);
  }
  return keys;
}

function pipelines(root) {
  return [...descendants(root)].filter((node) => isPipeline(node) && tablesOf(node).length);
}

function isPipeline(node) {
  return node instanceof Syntax.PipeExpression && !(node.Parent instanceof Syntax.PipeExpression);
}

/** The nodes of one pipeline without those of the pipelines inside it. */
function* within(node) {
  for (const child of children(node)) {
    if (isPipeline(child)) continue;
    yield child;
    yield* within(child);
  }
}

function* descendants(node) {
  for (const child of children(node)) {
    yield child;
    yield* descendants(child);
  }
}

function children(node) {
  return Array.from({ length: node.ChildCount }, (_, place) => node.GetChild(place)).filter(Boolean);
}

function listed(list) {
  return Array.from({ length: list.Count }, (_, place) => list.getItem(place));
}
