-- Health of a SplitDeployment for Argo CD: kstatus's rules, and Ready where neither Stalled nor Reconciling says anything.
local health = {status = "Progressing", message = "not looked at yet"}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= nil and obj.metadata.generation ~= nil
    and status.observedGeneration < obj.metadata.generation then
  health.message = "the operator has not seen this generation yet"
  return health
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local function is(kind, value)
  return found[kind] ~= nil and found[kind].status == value
end
if is("Stalled", "True") then
  return {status = "Degraded", message = found.Stalled.reason .. ": " .. (found.Stalled.message or "")}
end
if is("Reconciling", "True") then
  return {status = "Progressing", message = found.Reconciling.message}
end
if is("Ready", "True") then
  if is("Paused", "True") and found.Paused.reason == "Paused" then
    return {status = "Suspended", message = found.Paused.message}
  end
  return {status = "Healthy", message = found.Ready.message}
end
if is("Ready", "False") then
  return {status = "Degraded", message = found.Ready.reason .. ": " .. (found.Ready.message or "")}
end
return health
