-- The script of wrk: POST the file $BENCH_BODY as JSON, and print the figures as one line of JSON.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()

function done(summary, latency)
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.6f, "p99": %.6f}',
    summary.requests,
    summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6
  ))
end
