-- What wrk sends and reports for scripts/bench-http: `-- <kind> <run>`, where a kind is get, or claims of one coupon (hot, or the
-- sold-out one) or of a thousand. Every request claims for somebody else. Answers are not looked at one by one, which would cost
-- the machine more than a small server: wrk itself counts those of 400 and above, the server which they are.

local threads = {}

function setup(thread)
    table.insert(threads, thread)
    thread:set("number", #threads)
end

function init(arguments)
    local kind, run = arguments[1], arguments[2]
    if kind == "get" then
        return
    end
    local turn = 0
    -- Always of one length, so that the head is always the same.
    local function claim(coupon)
        turn = turn + 1
        return string.format('{"user_id":"%s-%02d-%09d"}', run, number, turn), coupon
    end
    local function post(path, body)
        return "POST " .. path .. " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
    end
    if kind == "spread" then
        function request()
            -- The threads begin at different coupons.
            local coupon = (turn + number * 501) % 1000
            return post(string.format("/api/v1/coupons/spread-%d/claims", coupon), (claim()))
        end
    else
        local path = "/api/v1/coupons/" .. kind .. "/claims"
        function request()
            return post(path, (claim()))
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        "BENCH %d %d %d %d %d %d\n",
        summary.duration,
        summary.requests,
        errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50),
        latency:percentile(99)
    ))
end
