// Reads a JSON list of statements, prints per statement what a Trino grammar says against it.
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

// The package imports folders, which Node does not resolve by itself.
registerHooks({
  resolve(specifier, context, next) {
    for (const end of ["", ".js", "/index.js"]) {
      try {
        return next(specifier + end, context);
      } catch (error) {
        if (end === "/index.js") throw error;
      }
    }
  },
  load(url, context, next) {
    return next(url, url.includes("dt-sql-parser") ? { ...context, format: "module" } : context);
  },
});

const [folder, file] = process.argv.slice(2);
const parser = pathToFileURL(`${folder}/node_modules/dt-sql-parser/dist/index.js`).href;
const { TrinoSQL } = await import(parser);
const grammar = new TrinoSQL();
const complaints = JSON.parse(readFileSync(file, "utf8")).map((sql) =>
  grammar.validate(sql).map((error) => `${error.startLine}:${error.startColumn} ${error.message}`),
);
console.log(JSON.stringify(complaints));
