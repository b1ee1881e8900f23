-- Take one token from a bucket that fills at ARGV[1] tokens a second up to ARGV[2].
-- Returns whether there was one, and how many are left (text: Lua numbers would be cut to integers).
local rate, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1]) or most
local at = tonumber(kept[2]) or now
tokens = math.min(most, tokens + math.max(0, now - at) * rate)
local granted = tokens >= 1
if granted then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * most / rate) + 1000)
return {granted and 1 or 0, tostring(tokens)}
