-- TagResource on one of many clusters, another value each time: wrk -s bench/change.lua URL -- CLUSTERS
local clusters, calls, thread = 1, 0, 0

function setup(thread_)
    thread = thread + 1
    thread_:set("number", thread)
end

function init(arguments)
    clusters = tonumber(arguments[1])
    math.randomseed(number * 7919)
    wrk.method = "POST"
    wrk.path = "/"
    wrk.headers["Content-Type"] = "application/x-amz-json-1.1"
    wrk.headers["X-Amz-Target"] = "AmazonEC2ContainerServiceV20141113.TagResource"
    wrk.headers["X-Amz-Date"] = "20260101T000000Z"
    wrk.headers["Authorization"] = "AWS4-HMAC-SHA256 "
        .. "Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
end

function request()
    calls = calls + 1
    local cluster = math.random(1, clusters)
    local body = string.format(
        '{"resourceArn":"arn:aws:ecs:us-east-1:000000000000:cluster/c%d","tags":[{"key":"n","value":"%d-%d"}]}',
        cluster, number, calls)
    return wrk.format(nil, nil, nil, body)
end
