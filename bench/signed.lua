-- One signed call, again and again: wrk -s bench/signed.lua URL -- HEADERS-FILE BODY-FILE
-- A signature is good for some minutes, so the same bytes can be sent until then.
local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

function init(arguments)
    wrk.method = "POST"
    wrk.path = "/"
    wrk.body = read(arguments[2])
    for name, value in read(arguments[1]):gmatch("([^\n]-): ([^\n]*)\n") do
        wrk.headers[name] = value
    end
end
