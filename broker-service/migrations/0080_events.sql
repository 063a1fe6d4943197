-- Which content an identifier stood for: of a security event that is sent again, to tell it from another of the same name.
ALTER TABLE used ADD COLUMN content TEXT;
