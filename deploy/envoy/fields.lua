-- Refuses JSON bodies with fields that the call does not have, which Envoy's transcoder would drop without a word.
-- Runs in the edge, before the transcoder; fields.py writes CALLS, MESSAGES and what is answered above this text.
--
-- MESSAGES[n] has for each name of a field the number of its message, or 0 if anything may stand there: whether it may is
-- the transcoder's to say. CALLS has a tree of path segments for each method; "*" is any, and ":" has leaves by verb.

local DEPTH_MAX, FAULTS_MAX, NAME_MAX = 64, 20, 80
local byte, find, gsub, match, sub = string.byte, string.find, string.gsub, string.match, string.sub
local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = 123, 125, 91, 93

local function message_at(node, segments, at, verb)
  local segment = segments[at]
  if segment == nil then
    local leaves = node[":"]
    return leaves and leaves[verb]
  end
  local literal, any = node[segment], node["*"]
  return literal and message_at(literal, segments, at + 1, verb) or any and message_at(any, segments, at + 1, verb)
end

-- The number of the message that the body of this request is, or nil for a call that nobody offers.
local function message_of(method, target)
  local root, path = CALLS[method], match(target, "^[^?#]*")
  if root == nil then return nil end
  local before, verb = match(path, "^(.*):([^/:]*)$")
  local segments = {}
  for segment in string.gmatch(before or path, "[^/]+") do segments[#segments + 1] = segment end
  return message_at(root, segments, 1, verb or "")
end

local function skip_space(text, at)
  return find(text, "[^ \t\r\n]", at) or #text + 1
end

-- What stands between the quotes that open at `at`, as it is written, and where it goes on.
local function string_at(text, at)
  local from = at + 1
  while true do
    local stop = find(text, '[%c"\\]', from)
    local char = stop and byte(text, stop)
    if char == QUOTE then
      return sub(text, at + 1, stop - 1), stop + 1
    elseif char ~= BACKSLASH then
      error("a string without an end, or with a control character")
    elseif find(text, '^["\\/bfnrt]', stop + 1) then
      from = stop + 2
    elseif find(text, "^u%x%x%x%x", stop + 1) then
      from = stop + 6
    else
      error("an escape that is none")
    end
  end
end

local function unescaped(name)
  if not find(name, "\\", 1, true) then return name end
  name = gsub(name, "\\u00(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  return (gsub(name, '\\(["\\/])', "%1"))
end

-- `steps` are the names and indexes that lead to the object, `depth` - 1 of them: a path is written only where it is told.
local function noted(faults, steps, depth, name)
  if #faults >= FAULTS_MAX then return end
  local path = ""
  for n = 1, depth - 1 do
    local step = steps[n]
    path = path .. (type(step) == "number" and "[" .. step .. "]" or (n > 1 and "." or "") .. step)
  end
  local written = sub(gsub(name, "[^%w_.%[%]%-]", "?"), 1, NAME_MAX)
  faults[#faults + 1] = path .. (depth > 1 and "." or "") .. written
end

local value_at

local function object_at(text, at, message, depth, steps, faults)
  local fields = MESSAGES[message]
  at = skip_space(text, at + 1)
  if byte(text, at) == CLOSE then return at + 1 end
  while true do
    if byte(text, at) ~= QUOTE then error("a name without quotes") end
    local name, child
    name, at = string_at(text, at)
    name = unescaped(name)
    if fields then
      child = fields[name]
      if child == nil then noted(faults, steps, depth, name) end
    end
    at = skip_space(text, at)
    if byte(text, at) ~= COLON then error("a name without a value") end
    steps[depth] = name
    at = value_at(text, skip_space(text, at + 1), child or 0, depth + 1, steps, faults)
    at = skip_space(text, at)
    local char = byte(text, at)
    if char == CLOSE then return at + 1 end
    if char ~= COMMA then error("an object without an end") end
    at = skip_space(text, at + 1)
  end
end

local function list_at(text, at, message, depth, steps, faults)
  at = skip_space(text, at + 1)
  if byte(text, at) == CLOSE_LIST then return at + 1 end
  local index = 0
  while true do
    steps[depth] = index
    at = skip_space(text, value_at(text, at, message, depth + 1, steps, faults))
    local char = byte(text, at)
    if char == CLOSE_LIST then return at + 1 end
    if char ~= COMMA then error("a list without an end") end
    at, index = skip_space(text, at + 1), index + 1
  end
end

value_at = function(text, at, message, depth, steps, faults)
  if depth > DEPTH_MAX then error("too deep") end
  local char = byte(text, at)
  if char == QUOTE then
    local _, after = string_at(text, at)
    return after
  end
  if char == OPEN then return object_at(text, at, message, depth, steps, faults) end
  if char == OPEN_LIST then return list_at(text, at, message, depth, steps, faults) end
  local _, stop = find(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  if not stop then _, stop = find(text, "^%l+", at) end
  local word = stop and sub(text, at, stop)
  if word and (find(word, "%d$") or word == "true" or word == "false" or word == "null") then return stop + 1 end
  error("a value that is none")
end

-- Paths of the fields that are not known. An error, if it is not JSON.
local function unknown_fields(text, message)
  local faults, from = {}, skip_space(text, 1)
  local root = byte(text, from) == OPEN and message or 0
  if skip_space(text, value_at(text, from, root, 1, {}, faults)) <= #text then error("more than one value") end
  return faults
end

local function refuse(handle, body)
  handle:streamInfo():dynamicMetadata():set("edge", "said", true)  -- The edge's own words for a 400 are not needed.
  handle:respond({ [":status"] = "400", ["content-type"] = "application/json" }, body)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local message = message_of(headers:get(":method"), headers:get(":path"))
  local body = message and handle:body()
  if not body or body:length() == 0 then return end
  local well, faults = pcall(unknown_fields, body:getBytes(0, body:length()), message)
  if not well then return refuse(handle, NOT_JSON) end
  if #faults == 0 then return end
  for n, path in ipairs(faults) do faults[n] = FAULT[1] .. path .. FAULT[2] end
  refuse(handle, UNKNOWN[1] .. table.concat(faults, ",") .. UNKNOWN[2])
end
