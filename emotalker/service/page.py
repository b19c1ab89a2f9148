"""The page of the interface, made from ``/openapi.json``. FastAPI's own page loads its scripts from another host."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>EmoTalker service</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:2rem 0 .3rem;font-family:ui-monospace,monospace}
b{display:inline-block;min-width:4.2rem;color:#0b5cad}table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #dde2ea}
td:first-child,pre{font-family:ui-monospace,monospace}pre{background:#f3f5f8;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}td:first-child{white-space:nowrap}td:last-child{overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#dfe5ee}b{color:#7fb6f0}pre{background:#1e242e}
td,th{border-color:#333b48}}
</style></head><body><h1>EmoTalker service</h1>
<p>A recording and a portrait in, a talking video out. Described for programs: <a href="openapi.json">openapi.json</a>.</p>
<pre id="curl"></pre><main id="routes">loading</main>
<h2><b>WS</b> /v1/stream</h2><pre id="stream"></pre><div id="first"></div><script>
const make = (name, text) => { const e = document.createElement(name); e.textContent = text ?? ""; return e };
const plain = text => (text ?? "").replaceAll("``", "");
document.getElementById("curl").textContent =
  `curl -F audio=@voice.wav -F image=@person.jpg ${location.origin}/v1/videos\\n` +
  `curl -N ${location.origin}/v1/videos/ID/events\\ncurl -o talking.mp4 ${location.origin}/v1/videos/ID/result`;
const range = s => [s.enum && s.enum.join(" | "), s.minimum !== undefined && `from ${s.minimum}`,
  s.exclusiveMinimum !== undefined && `above ${s.exclusiveMinimum}`, s.maximum !== undefined && `to ${s.maximum}`,
  s.exclusiveMaximum !== undefined && `below ${s.exclusiveMaximum}`,
  s.default !== undefined && s.default !== null && `default ${s.default}`].filter(Boolean).join(", ");
const options = schema => {
  const table = make("table");
  for (const [name, field] of Object.entries(schema.properties)) {
    const row = make("tr"), kinds = [field, ...(field.anyOf ?? [])];
    row.append(make("td", name), make("td", kinds.map(range).filter(Boolean).join(", ") || field.format || field.type),
      make("td", (schema.required?.includes(name) ? "needed. " : "") + plain(field.description)));
    table.append(row);
  }
  return table;
};
fetch("openapi.json").then(answer => answer.json()).then(api => {
  document.getElementById("stream").textContent = plain(api.info["x-stream"]);
  document.getElementById("first").append(options(api.info["x-stream-options"]));
  const main = document.getElementById("routes"); main.textContent = "";
  for (const [path, methods] of Object.entries(api.paths)) for (const [method, route] of Object.entries(methods)) {
    const title = make("h2"); title.append(make("b", method.toUpperCase()), " " + path);
    main.append(title, make("p", plain(route.description)));
    const form = route.requestBody?.content["multipart/form-data"]?.schema;
    if (form) main.append(options(form));
  }
});
</script></body></html>
"""
#: What the page may load: its own inline script and style, and the description.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"
)
