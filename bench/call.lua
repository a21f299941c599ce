-- One ECS call, again and again: wrk -s bench/call.lua URL -- OPERATION BODY-FILE
function init(arguments)
    local file = assert(io.open(arguments[2]))
    wrk.method = "POST"
    wrk.path = "/"
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = "application/x-amz-json-1.1"
    wrk.headers["X-Amz-Target"] = "AmazonEC2ContainerServiceV20141113." .. arguments[1]
    -- Emulators find the service in the credential scope; neither side checks the signature.
    wrk.headers["X-Amz-Date"] = "20260101T000000Z"
    wrk.headers["Authorization"] = "AWS4-HMAC-SHA256 "
        .. "Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
end
